"""The child process that renders with the transformers package itself, as it is installed."""

from __future__ import annotations

import json
from datetime import datetime

from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from .serving import Meta, Send, send_text, serve
from .worker import error_of


class Answers:
    """Answers requests with `apply_chat_template`."""

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        now = datetime.fromisoformat(options["clock"])
        chat_template_utils.datetime = type("Clock", (datetime,), {"now": classmethod(lambda _cls, _tz=None: now)})
        text, facts = None, {}
        try:
            tokenizer = PreTrainedTokenizerBase(**options["special"])
            tokenizer.chat_template = options["template"]
            text = tokenizer.apply_chat_template(
                body["messages"],
                tools=body.get("tools"),
                documents=body.get("documents"),
                tokenize=False,
                add_generation_prompt=body.get("add_generation_prompt", True),
                **(body.get("chat_template_kwargs") or {}),
            )
        except Exception as error:  # noqa: BLE001  a template may raise anything, and each is a result
            facts = {"error": error_of(error)}
        send_text(send, text, facts)
        send(b"{}")


def main() -> None:
    """Serve standard input."""
    serve(Answers)
