"""Reads the arguments, runs one command, turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from workbench.cli import damage, doctor, inspect, lab, quality, render, trace
from workbench.cli.output import CANNOT_RUN, INTERRUPTED, PIPE_CLOSED
from workbench.errors import BadRequest, WorkbenchError, one_line

COMMANDS: tuple[Any, ...] = (inspect, render, trace, quality, damage, doctor, lab)

EXAMPLES = """\
examples:
  workbench inspect model.gguf
  workbench render request.json --model model.gguf
  workbench trace request.json --model model.gguf --json > trace.json
  workbench trace hello --model demo
  workbench quality base.gguf candidate.gguf --text text.txt
  workbench damage --against setup.json
  workbench doctor
  workbench lab

exit codes: 0 done; 1 done, and the result is an error (it is printed); 2 could not run (one line on stderr)
"""


class Arguments(argparse.ArgumentParser):
    """argparse whose complaints are one line that says what is accepted."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise BadRequest(message, "", f"run `{self.prog} --help` to see what is accepted")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Never a traceback for what a user did."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a character gets its escape
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except WorkbenchError as error:
        print(f"workbench: {one_line(str(error))}", file=sys.stderr)
        return CANNOT_RUN
    except KeyboardInterrupt:
        print("workbench: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        _drop_output()
        print(f"workbench: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        return CANNOT_RUN
    except Exception:  # noqa: BLE001  # exit code 1 means "done", so a fault of ours must not end as Python ends it
        traceback.print_exc()
        print("workbench: this is a fault of the workbench, not of what you gave it", file=sys.stderr)
        return CANNOT_RUN
    return code


def _drop_output() -> None:
    """What is left in the buffer goes nowhere: the interpreter would fail once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: Sequence[str]) -> int:
    own, behind = _split(argv)
    arguments = build_parser().parse_args(own)
    if arguments.command is None:
        names = ", ".join(command.NAME for command in COMMANDS)
        raise BadRequest("no command was given", f"accepted are {names}", "run `workbench --help`")
    if behind:
        arguments.behind = behind
    code: int = arguments.run(arguments)
    return code


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what stands behind `--` for the one command that hands it on."""
    if list(argv[:1]) != [lab.NAME] or "--" not in argv:
        return list(argv), []
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def build_parser() -> argparse.ArgumentParser:
    """The whole command line as argparse sees it."""
    from workbench import __version__

    parser = Arguments(
        prog="workbench",
        description="See every step between a chat request and a local model's answer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS:
        summary, _, _ = command.__doc__.partition("\n")
        own = commands.add_parser(
            command.NAME,
            help=summary,
            description=summary,
            epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        own.add_argument("--json", action="store_true", help="print one JSON object to stdout and nothing else")
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser
