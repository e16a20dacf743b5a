"""Names that only held-out requests use: tools, parameters, and verbs of tools that training never has."""

from __future__ import annotations

VERBS = tuple("compress encrypt upload format validate archive compile deploy translate sign lock".split())
PARAMETERS = {
    "path": ("location", "source", "document", "fname"),
    "folder": ("place", "where", "base", "parent"),
    "text": ("payload", "message", "string", "lines"),
    "word": ("piece", "part", "fragment", "snippet"),
    "name": ("subject", "label", "entry", "needle"),
    "command": ("line", "program", "shell_line", "call"),
    "number": ("operand", "amount", "term_one", "figure"),
}
NAMES = {
    "read": ("read_document", "show_source", "peek", "slurp"),
    "write": ("write_document", "save_text", "emit_file", "persist"),
    "edit": ("edit_document", "change_source", "amend", "swap_text"),
    "run": ("run_program", "execute_line", "launch", "terminal"),
    "search": ("search_tree", "find_word", "lookup", "scan"),
    "list": ("list_contents", "show_dir", "tree_view", "enumerate_dir"),
    "delete": ("delete_path", "remove_document", "purge", "wipe_file"),
    "move": ("move_path", "rename_document", "relocate", "transfer"),
    "add": ("add_integers", "sum_of", "addition", "accumulate"),
    "install": ("install_dep", "get_dep", "provision", "obtain"),
    "branch": ("switch_to", "checkout_branch", "hop_to", "git_goto"),
}
# None of these may be made up by chance as a random word of training.
RESERVED = {*VERBS, *(name for names in (*PARAMETERS.values(), *NAMES.values()) for name in names)}
