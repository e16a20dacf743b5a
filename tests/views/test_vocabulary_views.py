"""The views of one token and of a tokenizer's switches: every fact, and text that stays text."""

from __future__ import annotations

import pytest

from tests.views.test_views import TEXTS, is_plain
from workbench.tokenizers.entry import VocabularyEntry
from workbench.tokenizers.lookalikes import Lookalike
from workbench.tokenizers.merges import Derivation, Merge
from workbench.tokenizers.switches import Retyped, Switch, Switches
from workbench.views import html_of


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_text(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    made = Derivation((Merge(0, text, text, None),), (text,), text)
    alike = (Lookalike(1, 7, text),)
    is_plain(html_of(VocabularyEntry(7, raw, raw, "normal", "control", True, (text,), made, alike)))
    one = Switch("a", text, "text", text, None, True, text, text)
    is_plain(html_of(Switches(text, text, (one,), (Retyped(0, text, "normal", "control"),), True, 5, 5 << 30, text)))


def test_a_token_says_what_it_is_and_how_it_came_about() -> None:
    merges = tuple(Merge(i, "a", "b", i) for i in range(250))
    entry = VocabularyEntry(7, b" x", b"_x", "control", "normal", True, ("eos",), Derivation(merges, ("ab",), ""), ())
    page = html_of(entry)
    for part in ("the file says normal", "20 78", "_x", "the file&#x27;s eos", "ends an answer", "50 more merges"):
        assert part in page, part


def test_a_switch_says_what_is_taken_out_and_what_a_copy_takes() -> None:
    out = Switch("k", "words", "text", "old", None, True, "an altered copy", "")
    page = html_of(Switches("m.gguf", "BPE", (out,), (), True, 2_048, 3 << 20, ""))
    for part in ("taken out", "old", "2 KiB for tokenising, 3.0 MiB when the model runs", "never changed"):
        assert part in page, part
