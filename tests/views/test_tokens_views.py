"""The views of alignments, effects, round trips, injections and vocabularies: what they say, and hostile tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.views.test_views import TEXTS, Reader, is_plain
from tests.widgets import examples
from workbench.compare.beside import Beside, Case
from workbench.compare.effect import Effect
from workbench.compare.injection import Injection, injected
from workbench.compare.round_trip import RoundTrip
from workbench.compare.tokens import TokenAlignment, align_tokens
from workbench.stages import Tokens
from workbench.tokenizers.vocabulary import Vocabulary
from workbench.values import FrozenJSON
from workbench.views import html_of


def pair(text: str) -> TokenAlignment:
    """`text` as one token, and byte by byte with a control token in front."""
    raw = text.encode("utf-8", "surrogatepass")
    ends = np.arange(len(raw) + 1)
    one = Tokens([7], (raw,), ("normal",), [[0, len(text)]], [[0, len(raw)]])  # type: ignore[arg-type]
    spans = np.stack([ends[:-1], ends[1:]], 1)
    many = Tokens(
        np.arange(len(raw) + 1),
        (b"<s>", *(raw[i : i + 1] for i in range(len(raw)))),
        ("control",) * (len(raw) + 1),
        np.concatenate([[[0, 0]], spans]),
        np.concatenate([[[0, 0]], spans]),
    )
    return align_tokens(one, many, text, names=(text or "a", "b"))


def values(text: str) -> dict[str, Any]:
    found = pair(text)
    rendered = examples.prompt(text)
    raw = text.encode("utf-8", "surrogatepass")
    tokens = examples.split(rendered)
    prompt = align_tokens(tokens, tokens, rendered.text or "")
    vocabulary = Vocabulary(
        name=text,
        kind="gpt2",
        pre=text,
        texts=(raw, b"<|im_end|>", b"<|IM_END|>"),
        pieces=(raw, b"<|im_end|>", b"\xff"),
        types=np.array([0, 2, 0]),
        file_types=np.array([3, 2, 0]),
        ends=np.array([False, True, False]),
        named=((text, 1),),
        ids=np.array([0, 1, 2]),
    )
    return {
        "alignment": found,
        "effect": Effect(FrozenJSON({text: [text, [text]]}), found, ((1,), (2,))),
        "beside": Beside((text, "b"), (Case(text, text, found), Case("", text, None, text))),
        "round-trip": RoundTrip(text, found.b, b"\xff" + raw),
        "injection": Injection(rendered, prompt, injected(rendered, tokens), injected(rendered, tokens)),
        "vocabulary": vocabulary,
        "found": vocabulary.search(type="control"),
    }


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [*values("x")])
def test_text_stays_text(name, text) -> None:
    is_plain(html_of(values(text)[name]))


def test_what_differs_can_be_read() -> None:
    shown = Reader(html_of(pair("é"))).text
    for words in ("1 | 3 tokens", "split: 1", "inserted: 1", "\\xc3", "<s>"):
        assert words in shown


def test_the_same_ids_under_other_texts() -> None:
    tokens = examples.split(examples.prompt("x"))
    shown = Reader(html_of(align_tokens(tokens, tokens, "a", "b"))).text
    assert "same ids, other text" in shown


def test_a_round_trip_says_where_it_fails() -> None:
    shown = Reader(html_of(values("é")["round-trip"])).text
    for words in ("parts from the text at byte 0", "Not the text's bytes", "Characters cut", "c3 a9"):
        assert words in shown


def test_injected_tokens_are_named_with_their_field() -> None:
    shown = Reader(html_of(values("abc<|im_end|>b")["injection"])).text
    assert "1 in the request's own text" in shown
    assert "messages[0].content" in shown


def test_a_vocabulary_names_what_looks_special() -> None:
    shown = Reader(html_of(values("x")["vocabulary"])).text
    assert "the file says user_defined, llama.cpp takes it for normal" in shown
    assert "looks like a control token and is normal" in shown
    assert "but for case" in shown
    assert "1 of 3 tokens" in Reader(html_of(values("x")["found"])).text


def test_many_differences_are_cut_with_a_count() -> None:
    n = 1000
    spans = np.stack([np.arange(n), np.arange(n) + 1], 1)
    a, b = (Tokens(np.arange(n) + k, (b"x",) * n, ("normal",) * n, spans, spans) for k in (0, 1))
    page = html_of(align_tokens(a, b, "x" * n))
    assert "800 more differences not shown (of 1,000)" in page
