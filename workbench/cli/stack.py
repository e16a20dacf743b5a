"""The arguments that say which request and which stack; shared by the commands that run one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from workbench.conversation import Conversation, text_of
from workbench.data import NAMED, model_path
from workbench.errors import BadFile, BadRequest
from workbench.setup import Setup


def add_request(parser: argparse.ArgumentParser) -> None:
    """The positional request."""
    parser.add_argument(
        "request",
        metavar="REQUEST",
        help='a chat-completions body as JSON: a file, "-" for standard input, or the name of a sample such as hello',
    )


def add_stack(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--setup` and `--date`."""
    parser.add_argument(
        "--model", metavar="M", help='a GGUF file, or "demo" or "toolsmith" for the models that come along'
    )
    parser.add_argument("--setup", metavar="S", help="a setup file: JSON with model, template, runtime, sampling ...")
    parser.add_argument("--date", metavar="ISO", help="the time that a template sees, such as 2024-07-26T14:30")


def read_request(given: str) -> Conversation:
    """The request that was named. Errors: `BadFile`, `BadRequest`."""
    if given == "-":
        name = "standard input"
        return Conversation.from_json(text_of(sys.stdin.buffer, name, "a chat request"), source=name)
    if not os.path.isfile(given):  # noqa: PTH113  # Path.is_file raises for a name that is too long
        from workbench.data import requests

        return Conversation.from_file(requests().get(given, Path(given)))
    return Conversation.from_file(given)


def read_setup(arguments: argparse.Namespace, *, template: str | None = None, engine: str | None = None) -> Setup:
    """The setup that the arguments describe. Errors: `BadRequest` where they name none or contradict each other."""
    if arguments.model and arguments.setup:
        raise BadRequest("both --model and --setup were given", "accepted is one of them", 'a setup has a key "model"')
    setup = setup_file(arguments.setup) if arguments.setup else Setup()
    changes = {
        "model": model_path(arguments.model) if arguments.model else None,
        "template.source": f"file:{template_path(template)}" if template else None,
        "template.clock": arguments.date,
        "template.engine": engine,
    }
    setup = setup.replace(**{name: value for name, value in changes.items() if value is not None})
    if setup.model is None and setup.template.source in (None, "model"):
        accepted = "--model M, --template F or --setup S" if "template" in arguments else "--model M or --setup S"
        raise BadRequest("no model was named", f"accepted is {accepted}", "for a first try: --model demo")
    return setup


def setup_file(path: str) -> Setup:
    """The setup in a file. Errors: `BadFile`, `BadRequest`, also for a model or template that is in neither place."""
    setup = Setup.from_file(path)
    for key, named in setup.files().items():
        if not os.path.exists(named):  # noqa: PTH110  # see above
            also = f", or {' or '.join(NAMED)}" if key == "model" else ""
            raise BadFile(
                f"{path}: {key} stands for {named}, which does not exist",
                f"accepted is a path from the setup file's folder, or else from {Path.cwd()}{also}",
                "check the path",
            )
    return setup


def template_path(given: str) -> str:
    """A template's path; the name of a well-known format is that format's unless a file has the name."""
    if os.path.isfile(given):  # noqa: PTH113  # see above
        return given
    from workbench.data import templates

    return str(templates().get(given, given))
