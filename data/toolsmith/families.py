"""The kinds of tools: what they do, how people ask for it, what comes back, what is said about it.

Besides the families written down here, any verb makes one: a tool described as "gralk a file" is what
"gralk src/vosh.py" asks for, whatever "gralk" means. That is how tools that nobody has seen are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import unseen
from words import Slots


@dataclass(frozen=True)
class Family:
    """One kind of tool. `parameters` are slot kinds in the order of `{0}`, `{1}` …; `result` maps keys to kinds."""

    key: str
    descriptions: tuple[str, ...]
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    wordings: tuple[str, ...]
    result: dict[str, str]
    answer: str


# Parameter names by slot kind.
PARAMETERS = {
    "path": ("path", "file", "filename", "file_path", "target"),
    "folder": ("path", "dir", "folder", "directory", "root"),
    "text": ("text", "content", "data", "body"),
    "word": ("word", "old", "value", "term"),
    "name": ("name", "pattern", "query", "key"),
    "command": ("command", "cmd", "script"),
    "number": ("a", "x", "left", "number"),
}
FAMILIES = (
    Family(
        "read", ("read a file", "return the text of a file", "show a file"),
        ("read_file", "open_file", "view_file", "get_file", "cat", "load_file"),
        ("path",),
        ("read {0}", "open {0}", "show me {0}", "print {0}", "read the file {0}", "look at {0}", "show the file {0}"),
        {"content": "text"}, "{0} contains: {content}",
    ),
    Family(
        "write", ("write text to a file", "save a file", "create a file"),
        ("write_file", "save_file", "put_file", "create_file", "store_file"),
        ("path", "text"),
        ('write "{1}" to {0}', 'save "{1}" in {0}', 'put "{1}" into {0}', 'create {0} with the text "{1}"',
         'store "{1}" in {0}'),
        {"written": "number"}, "Wrote {written} bytes to {0}.",
    ),
    Family(
        "edit", ("replace text in a file", "edit a file", "change words in a file"),
        ("edit_file", "replace", "edit", "patch_file", "change_text"),
        ("path", "word", "word"),
        ("replace {1} by {2} in {0}", "change {1} to {2} in {0}", "in {0}, replace {1} with {2}",
         "edit {0} and turn {1} into {2}"),
        {"changed": "number"}, "Changed {changed} places in {0}.",
    ),
    Family(
        "run", ("run a command", "run a shell command", "execute a command"),
        ("run", "run_command", "shell", "bash", "execute"), ("command",),
        ("run `{0}`", "execute `{0}`", "run the command `{0}`", "start `{0}`", "use the shell to run `{0}`"),
        {"exit": "number", "output": "text"}, "It exited with {exit} and printed: {output}",
    ),
    Family(
        "search", ("search files for a pattern", "find text in files", "search a folder"),
        ("search", "grep", "find_text", "search_files", "find"), ("name", "folder"),
        ("search for {0} in {1}", "find {0} in {1}", "grep {0} in {1}", "look for {0} in {1}",
         "where is {0} used in {1}", "search {1} for {0}"),
        {"file": "path", "line": "number"}, "Found in {file}, line {line}.",
    ),
    Family(
        "list", ("list a folder", "list files", "show the files of a folder"),
        ("list_dir", "ls", "list_files", "list_folder"), ("folder",),
        ("list {0}", "list the files in {0}", "what files are in {0}", "which files does {0} have",
         "list the folder {0}"),
        {"first": "path", "second": "path"}, "{0} has {first} and {second}.",
    ),
    Family(
        "delete", ("delete a file", "remove a file"),
        ("delete_file", "remove_file", "rm", "unlink", "delete"), ("path",),
        ("delete {0}", "remove {0}", "remove the file {0}", "erase {0}", "get rid of {0}", "delete the file {0}"),
        {"status": "word"}, "Deleted {0}: {status}.",
    ),
    Family(
        "move", ("move a file", "rename a file"),
        ("move_file", "rename_file", "mv", "move", "rename"), ("path", "path"),
        ("move {0} to {1}", "rename {0} to {1}", "move the file {0} to {1}", "rename the file {0} as {1}"),
        {"status": "word"}, "Moved {0} to {1}: {status}.",
    ),
    Family(
        "add", ("add two numbers", "sum two numbers"),
        ("add", "sum", "plus", "add_numbers"), ("number", "number"),
        ("add {0} and {1}", "what is {0} plus {1}", "sum {0} and {1}", "compute {0} + {1}", "how much is {0} + {1}"),
        {"sum": "sum"}, "The sum is {sum}.",
    ),
    Family(
        "install", ("install a package", "get a package"),
        ("install", "pip_install", "install_package", "get_package"), ("name",),
        ("install {0}", "install the package {0}", "get the package {0}", "we need the package {0}"),
        {"version": "version"}, "Installed {0} {version}.",
    ),
    Family(
        "branch", ("switch to a branch", "check out a branch"),
        ("checkout", "switch_branch", "git_switch", "use_branch"), ("name",),
        ("switch to the branch {0}", "check out {0}", "go to the branch {0}", "use the branch {0}"),
        {"commit": "word"}, "Now on {0} at {commit}.",
    ),
)  # fmt: skip

# What a verb of unknown meaning may act on: the noun of the description, and the kind of the argument.
_NOUNS = {"file": "path", "folder": "folder", "module": "name", "number": "number"}


def verb_family(slots: Slots, *, held_out: bool) -> Family:
    """A family for a verb of no known meaning (`held_out`: at times an English one that training never uses)."""
    pick = slots.random.choice
    verb = pick(unseen.VERBS) if held_out and slots.random.random() < 0.5 else slots.word()
    noun = pick(list(_NOUNS))
    kinds = (_NOUNS[noun], "name") if slots.random.random() < 0.25 else (_NOUNS[noun],)
    if len(kinds) == 2:
        wordings: tuple[str, ...] = (f"{verb} {{0}} with {{1}}", f"{verb} the {noun} {{0}} with {{1}}")
        description = f"{verb} a {noun} with a name"
    else:
        wordings, description = (f"{verb} {{0}}", f"{verb} the {noun} {{0}}"), f"{verb} a {noun}"
    names = (f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}_the_{noun}", verb)
    return Family(verb, (description,), names, kinds, wordings, {"status": "word"}, "Done: {status}.")
