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
    "read": ("peek", "fetch_text", "slurp"),
    "write": ("dump_text", "emit_file", "persist"),
    "edit": ("amend", "swap_text", "modify"),
    "run": ("terminal", "launch", "spawn"),
    "search": ("lookup", "scan", "locate_text"),
    "list": ("dir_contents", "enumerate_dir", "tree_view"),
    "delete": ("discard", "purge", "wipe_file"),
    "move": ("relocate", "shift_file", "transfer"),
    "add": ("total_of", "addition", "accumulate"),
    "install": ("provision", "obtain", "fetch_dep"),
    "branch": ("hop_to", "activate", "git_goto"),
}
# None of these may be made up by chance as a random word of training.
RESERVED = {*VERBS, *(name for names in (*PARAMETERS.values(), *NAMES.values()) for name in names)}
