"""Ids, pieces, spans and who added what."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gguf import tiny
from tests.profiles import examples
from workbench.errors import BadRequest, HostDied

SHARED = Path(__file__).parents[3] / "shared" / "data" / "vocab"
NAMES = ("gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """One host for each tiny vocabulary."""
    from workbench.runtime.host import Host
    from workbench.setup import Setup

    folder = tmp_path_factory.mktemp("vocabularies")
    made = {
        kind: Host(Setup(model=str(tiny.vocabulary_file(folder / f"{kind}.gguf", kind))))
        for kind in ("bpe", "spm", "wpm")
    }
    yield made
    for host in made.values():
        host.close()


def texts(tokens, text):
    raw = text.encode()
    return [raw[a:b].decode("utf-8", "replace") if a >= 0 else None for a, b in tokens.byte_spans]


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_llama_cpp_own_cases(name, make_host):
    path = SHARED / f"ggml-vocab-{name}.gguf"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout; it goes when the vocabulary is packaged")
    host = make_host(path, tokenizer={"add_special": False, "parse_special": False})
    cases = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    expected = path.with_suffix(".gguf.out").read_text().split("\n")
    assert len(cases) > 40
    for text, line in zip(cases, expected, strict=False):
        tokens = host.tokenize(text)
        assert tokens.ids.tolist() == [int(word) for word in line.split()], repr(text)
        assert not tokens.notes
        check_spans(tokens, text)


def check_spans(tokens, text, *, whole=True):
    """Spans that are there are in order and inside the text; `whole`: they cover it, but for eaten whitespace."""
    raw = text.encode()
    covered, at = bytearray(len(raw)), 0
    for start, end in tokens.byte_spans:
        if start < 0:
            continue
        assert at <= start <= end <= len(raw)
        covered[start:end] = b"\1" * (end - start)
        at = end
    if whole and not tokens.notes:
        missing = bytes(raw[i] for i in range(len(raw)) if not covered[i])
        assert not missing.strip(), missing
    for (start, end), (first, last) in zip(tokens.byte_spans, tokens.spans, strict=True):
        if start >= 0:
            assert raw[start:end] in text[first:last].encode()


def test_bpe_pieces_and_spans(hosts):
    text = "<|im_start|>the tin\n<|im_end|>é"
    tokens = hosts["bpe"].tokenize(text)
    assert texts(tokens, text)[:4] == ["<|im_start|>", "the", " t", "in"]
    assert tokens.types[0] == "control"
    assert b"".join(tokens.pieces).decode() == text
    assert tokens.spans[-2:].tolist() == [[len(text) - 1, len(text)]] * 2  # two bytes of one character


def test_special_tokens_are_text_where_asked(make_host, tmp_path):
    path = tiny.vocabulary_file(tmp_path / "v.gguf", "bpe")
    host = make_host(path, tokenizer={"parse_special": False})
    tokens = host.tokenize("<|im_end|>")
    assert len(tokens) == len("<|im_end|>")
    assert "control" not in tokens.types


@pytest.mark.parametrize(
    ("add_bos", "flag", "text", "first", "added"),
    [
        (True, "auto", "the", 0, ((0, "bos: tokenizer.ggml.add_bos_token"),)),
        (True, "auto", "<|bos|>the", 0, ()),
        (True, True, "<|bos|>the", 0, ((0, "bos: tokenizer.ggml.add_bos_token"),)),
        (True, False, "the", None, ()),
        (False, "auto", "the", None, ()),
        (False, True, "the", None, ()),
        (False, "auto", "<|bos|>the", 0, ()),
    ],
)
def test_who_added_bos(make_host, tmp_path, add_bos, flag, text, first, added):
    path = tiny.vocabulary_file(tmp_path / "v.gguf", "bpe", add_bos=add_bos)
    tokens = make_host(path, tokenizer={"add_special": flag}).tokenize(text)
    assert (tokens.ids[0] == 0) == (first == 0)
    assert tokens.added == added
    doubled = flag is True and text.startswith("<|bos|>")
    assert (tokens.ids == 0).sum() == (2 if doubled else int(first == 0))
    if flag == "auto" and add_bos and text.startswith("<|bos|>"):
        assert tokens.spans[0].tolist() == [0, len("<|bos|>")]
        assert "its own BOS" in tokens.notes[0]


def test_spm_puts_a_space_before_the_text(hosts):
    text = "hello world"
    tokens = hosts["spm"].tokenize(text)
    assert tokens.pieces == (b"<s>", b" hello", b" world")
    assert tokens.spans.tolist() == [[0, 0], [0, 5], [5, 11]]
    assert tokens.added == ((0, "bos: tokenizer.ggml.add_bos_token"),)


@pytest.mark.parametrize("text", ["  hello", "hello<|end|>hello", "\u2581hello", "hé <|end|> wörld", " ", "世界 hello"])
def test_spm_spans_of_hard_texts(hosts, text):
    tokens = hosts["spm"].tokenize(text)
    assert not tokens.notes
    check_spans(tokens, text)
    raw = text.encode()
    for piece, (start, end) in zip(tokens.pieces, tokens.byte_spans, strict=True):
        stands = raw[start:end].replace("\u2581".encode(), b" ")
        assert piece in (stands, b" " + stands, b"<s>")


def test_wpm_folds_case_and_accents(hosts):
    text = "Hello, Café WORLD!  ☃ the"
    tokens = hosts["wpm"].tokenize(text)
    assert texts(tokens, text) == ["", "Hello", ",", "Caf", "é", "WORLD", "!", "☃", "the", ""]
    assert tokens.types[7] == "unknown"
    assert [by for _, by in tokens.added] == ["bos: tokenizer.ggml.add_bos_token", "sep: the tokenizer"]


def test_two_unknowns_in_a_row_are_not_guessed(hosts):
    text = "hello ☃ ☃ the world"
    tokens = hosts["wpm"].tokenize(text)
    found = texts(tokens, text)
    assert found[0:2] == ["", "hello"]
    assert found[2:4] == [None, None]
    assert "2 of" in tokens.notes[-1]
    assert found[4:6] == ["the", "world"]


def test_nul_characters_and_the_empty_text(hosts):
    tokens = hosts["bpe"].tokenize("a\0b")
    assert b"".join(tokens.pieces) == b"a\0b"
    assert len(hosts["bpe"].tokenize("")) == 0


def test_a_lone_surrogate_is_refused_with_its_place(hosts):
    with pytest.raises(BadRequest, match=r"U\+D800\) at character 3"):
        hosts["bpe"].tokenize("abc\ud800")


@pytest.mark.slow
def test_five_megabytes(hosts):
    text = "the tin er\n" * 500_000
    tokens = hosts["bpe"].tokenize(text)
    assert tokens.spans[-1].tolist() == [len(text) - 1, len(text)]
    assert np.array_equal(tokens.spans[1:, 0], tokens.spans[:-1, 1])


@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        alphabet=st.one_of(
            st.sampled_from(" helowrd▁\n\u0301é世<|end|>🎉\0"), st.characters(exclude_categories=("Cs",))
        )
    )
)
@pytest.mark.parametrize("kind", ["bpe", "spm", "wpm"])
def test_spans_are_true_for_any_text(hosts, kind, text):
    check_spans(hosts[kind].tokenize(text), text, whole=kind != "wpm")  # WPM drops control characters


def test_a_real_failed_assertion_is_an_error_value(make_host, tmp_path):
    host = make_host(tiny.vocabulary_file(tmp_path / "u.gguf", "ugm", architecture="t5"))
    with pytest.raises(HostDied, match="SIGABRT while it was in: tokenize") as caught:
        host.tokenize("ab")
    assert any("GGML_ASSERT" in line for line in caught.value.log)
