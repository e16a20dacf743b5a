"""The token strip's script in a bare page with a model that only remembers: no Jupyter, no kernel."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from playwright.sync_api import Page

from tests.widgets import examples
from tests.widgets.mount import DARK
from workbench.stages import Scores, Tokens
from workbench.widgets.strip import TokenStrip, payload_of, script, sheet, strip

MOUNT = """async ([source, css, state]) => {
  const heard = {};
  const say = (name, ...rest) => (heard[name] ?? []).forEach((f) => f(...rest));
  Object.assign(window, { state, sent: [], heard, saved: 0 });
  window.put = (name, value) => { state[name] = value; say(`change:${name}`); };
  const model = {
    get: (name) => state[name], set: window.put, save_changes: () => { window.saved += 1; },
    on: (name, f) => (heard[name] ??= []).push(f),
    off: (name, f) => { heard[name] = heard[name].filter((g) => g !== f); },
    send: (message) => window.sent.push(message),
  };
  window.unpack = (buffers) =>
    buffers.map((text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
  window.arrive = (message, buffers) => say('msg:custom', message, buffers);
  const style = document.createElement('style');
  style.textContent = css;
  document.head.append(style);
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const el = document.createElement('div');
  document.body.replaceChildren(el);
  window.unmount = module.default.render({ model, el });
}"""

HOSTILE = [
    b"<script>window.hacked=1</script>",
    b"</style><b>x</b>",
    "\u202eevil".encode(),
    b"\x00",
    b"\xed\xa0\x80",
    b"",
    b"x" * 10_000,
    b"\n" * 300,
    "\u0661\u0662 שלום".encode(),
    "👩‍🚀".encode(),
    b"\xf0\x9f",
]
WRONG = ["id:x", "id:", "id:-1", "type:", "type:red", "bytes:e", "bytes:zz", "bytes: 0 a"]


def mount(page: Page, shown: TokenStrip, *, theme: str = "light") -> None:
    """The strip in a bare page, its tokens arrived."""
    wait_for_tokens(page, shown, theme=theme)
    message, buffers = packed(shown)
    page.evaluate("([message, buffers]) => window.arrive(message, window.unpack(buffers))", [message, buffers])
    page.wait_for_timeout(60)  # two frames: what is near the visible part is drawn in them


def wait_for_tokens(page: Page, shown: TokenStrip, *, theme: str = "light") -> None:
    """The strip before its tokens have come."""
    page.set_content(f"<!doctype html><body data-jp-theme-light='{str(theme == 'light').lower()}'></body>")
    state = {"selection": list(shown.selection), "colour": shown.colour, "query": shown.query}
    page.evaluate(MOUNT, [script(), sheet() + (DARK if theme == "dark" else ""), state])


def packed(shown: TokenStrip) -> tuple[dict[str, Any], list[str]]:
    """What Python sends to the page, its buffers in base64."""
    sent = payload_of(shown.facts)
    message = {"type": "tokens", "facts": sent.facts, "arrays": [list(pair) for pair in sent.arrays]}
    return message, [base64.b64encode(part).decode() for part in sent.buffers]


def many(n: int) -> tuple[Tokens, Scores]:
    """n tokens of a made-up program's text, and scores of every kind."""
    words = [
        b"def",
        b" token",
        b"(",
        b"x",
        b")",
        b":\n",
        b"    ",
        b"return",
        b" 42",
        b"\n",
        b" caf\xc3\xa9",
        b"\xf0\x9f",
    ]
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(words), n)
    pieces = tuple(words[i] for i in ids)
    ends = np.cumsum([len(piece) for piece in pieces])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    logprob = np.log(np.clip(rng.beta(0.6, 0.5, n), 1e-6, 1))
    rank = np.maximum(1, np.floor(0.5 / np.exp(logprob)))
    entropy, top = rng.gamma(1.2, 1.2, n), np.zeros((n, 1))
    logprob[-1], rank[-1] = np.nan, 0
    tokens = Tokens(ids, pieces, ("normal",) * n, spans, spans, (), len(words))
    return tokens, Scores(logprob, rank, entropy, entropy, entropy, top, top)


def tokens_of(pieces: list[bytes], types: list[str] | None = None) -> Tokens:
    """Tokens of these pieces, ids from 0 on, all normal unless `types` says otherwise."""
    ends = np.cumsum([len(piece) for piece in pieces])
    spans = np.stack([ends - [len(piece) for piece in pieces], ends], axis=1)
    return Tokens(np.arange(len(pieces)), tuple(pieces), tuple(types or ["normal"] * len(pieces)), spans, spans)


def shown(content: str = "Where is <Paris>?", **more: Any) -> TokenStrip:
    """A strip of the small example with everything known."""
    stages = examples.stages(content)
    return strip(stages["tokens"], stages["scores"], stages["rendered"], request=stages["messages"], **more)
