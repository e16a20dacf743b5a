"""The calls to a llama-server that rendering needs, and one for other rooms."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from workbench.nesting import read_json, write_json

from .serving import Meta

_MOST_BYTES = 256 << 20  # of an answer


def apply(address: str, body: bytes, timeout_s: float = 10.0, *, key: str | None = None) -> tuple[str | None, Meta]:
    """The prompt that the server at `address` makes of a request, None and its error; with its template's `caps`.

    `key` is the server's, where it asks for one.
    """
    found, error = _asked(f"{address}/apply-template", body, timeout_s, key)
    if error is not None:
        return None, {"error": error}
    prompt = found.get("prompt") if isinstance(found, dict) else None
    if not isinstance(prompt, str):
        return None, {"error": error_of("NoAnswer", f"what answers at {address} is no llama-server")}
    props, _ = _asked(f"{address}/props", None, timeout_s, key)
    known = props if isinstance(props, dict) else {}
    told = {name: known.get(name) for name in ("chat_template", "build_info")}
    return prompt, {"caps": known.get("chat_template_caps"), **told}


def works(address: str, timeout_s: float, *, key: str) -> None:
    """Wait until the server's queue works, which the list of its slots goes through.

    One that is stopped before never ends, for the queue's beginning takes back that it shall stop:
    https://github.com/ggml-org/llama.cpp/blob/aa6192d38defc9a5d9fb2987413f71b18f214270/tools/server/server-queue.cpp
    """
    _asked(f"{address}/slots", None, timeout_s, key)


def post(url: str, value: Meta, timeout_s: float = 10.0, *, key: str | None = None) -> tuple[Any, Meta | None]:
    """The JSON that a server answers `value` with, None and its error; `key` is the server's, where it asks for one."""
    return _asked(url, write_json(value).encode(), timeout_s, key)


def with_arguments(body: Meta, more: Meta) -> bytes:
    """The request as JSON, with more template arguments; its own win."""
    given = body.get("chat_template_kwargs") or {}
    return write_json({**body, "chat_template_kwargs": {**more, **given}} if more else body).encode()


def _asked(url: str, body: bytes | None, timeout_s: float, key: str | None) -> tuple[Any, Meta | None]:
    """The JSON that `url` answers with, or the error. No proxy is asked for what is on this machine."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  only http, see below
        if request.type not in ("http", "https"):
            return None, error_of("NoAnswer", f"{url} is no address of a server; accepted is http://HOST:PORT")
        here = urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if here else None))
        with opener.open(request, timeout=timeout_s) as answer:
            return read_json(_body(answer, timeout_s)), None
    except urllib.error.HTTPError as refused:
        said = ""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            said = _body(refused.fp, timeout_s).decode("utf-8", "replace")  # type: ignore[arg-type]  # typed IO[bytes]
        with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError, KeyError):
            said = json.loads(said)["error"]["message"]
        return None, error_of(f"HTTP {refused.code}", str(said).strip() or f"HTTP {refused.code} without a reason")
    except RecursionError:
        return None, error_of("NoAnswer", f"{url} answers with JSON that is nested too deeply")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return None, error_of("NoAnswer", f"the server does not answer: {error}")


def _body(answer: http.client.HTTPResponse, timeout_s: float) -> bytes:
    """All that comes within `timeout_s`. Errors: `TimeoutError` where a server sends on and on, `ValueError`."""
    end, parts, size = time.monotonic() + timeout_s, [], 0
    while part := answer.read1(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            raise ValueError(f"its answer is longer than {_MOST_BYTES >> 20} MiB")
        if time.monotonic() > end:
            raise TimeoutError(f"its answer did not end within {timeout_s:g} s")
    if answer.length:
        raise http.client.IncompleteRead(b"".join(parts), answer.length)
    return b"".join(parts)


def error_of(kind: str, message: str) -> Meta:
    """An error without a place."""
    return {"type": kind, "message": message, "line": None, "column": None}
