"""The command line: `workbench COMMAND`, one file per command, the list of them in `main.COMMANDS`."""

from workbench.cli.main import main

__all__ = ["main"]
