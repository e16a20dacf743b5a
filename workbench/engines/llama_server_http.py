"""The two calls to a llama-server that rendering needs."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request

from .serving import Meta


def apply(address: str, body: bytes, timeout_s: float = 10.0) -> tuple[str | None, Meta]:
    """The prompt that the server at `address` makes of a request, None and its error; with its template's `caps`."""
    text, error = _asked(f"{address}/apply-template", body, timeout_s)
    if error is not None:
        return None, {"error": error}
    props, _ = _asked(f"{address}/props", None, timeout_s)
    found = {name: (props or {}).get(name) for name in ("chat_template", "build_info")}
    return str((text or {}).get("prompt")), {"caps": (props or {}).get("chat_template_caps"), **found}


def _asked(url: str, body: bytes | None, timeout_s: float) -> tuple[Meta | None, Meta | None]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310  http only
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return json.load(answer), None
    except urllib.error.HTTPError as refused:
        said = refused.read().decode("utf-8", "replace")
        with contextlib.suppress(json.JSONDecodeError, AttributeError, TypeError):
            said = json.loads(said)["error"]["message"]
        return None, error_of(f"HTTP {refused.code}", said)
    except (OSError, ValueError) as error:
        return None, error_of("NoAnswer", f"the server does not answer: {error}")


def error_of(kind: str, message: str) -> Meta:
    """An error without a place."""
    return {"type": kind, "message": message, "line": None, "column": None}
