"""Tokenizers of every kind: the same ids for the same vocabulary, their bytes, their places, their way back."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compare.test_tokens import check_tiling
from tests.profiles import examples
from workbench.compare.round_trip import RoundTrip
from workbench.compare.tokens import align_tokens
from workbench.errors import BadFile, BadRequest, Cancelled, CannotRun
from workbench.progress import Cancel
from workbench.setup import Setup, TokenizerFlags
from workbench.tokenizers import tokenizer_of
from workbench.tokenizers.nasty import NASTY
from workbench.tokenizers.serve import llama_server
from workbench.tokens import beside, round_trip


def test_the_nasty_texts_are_many_and_different() -> None:
    assert len(NASTY) >= 80
    assert len({nasty.text for nasty in NASTY}) == len({(n.group, n.name) for n in NASTY}) == len(NASTY)
    assert len({nasty.group for nasty in NASTY}) >= 9


@pytest.mark.model
def test_gguf_and_json_of_one_model_agree_on_all_nasty_texts(toolsmith, toolsmith_json) -> None:
    seen: list[str] = []
    found = beside(toolsmith_json, toolsmith, progress=lambda name, *_: seen.append(name))
    assert found.agree, found.different
    assert repr(found).endswith("the same on 100 of 100 texts)")
    assert seen == [nasty.name for nasty in NASTY]
    for case in found.cases:
        assert case.alignment is not None
        for tokens in (case.alignment.a, case.alignment.b):
            trip = RoundTrip(case.alignment.text_a, tokens, b"")
            assert b"".join(tokens.pieces) == trip.raw
            assert (trip.eaten, trip.unlike) == ((), ())


@pytest.mark.model
def test_a_server_agrees_with_its_file(toolsmith, server) -> None:
    found = beside(Setup(model=str(toolsmith)), server, add_special=True)
    assert found.agree, found.different
    tokens = found["ChatML"].b
    assert tokens.added == ((0, "the server"),)


@pytest.mark.model
def test_a_server_tells_bytes_and_control_tokens(server) -> None:
    with tokenizer_of(server) as tokenizer:
        tokens = tokenizer.tokenize("<|turn|>x 世")
        assert tokens.types[1] == "control"
        assert b"".join(tokens.pieces[1:]) == "<|turn|>x 世".encode()
        assert tokenizer.detokenize(tokens) == "<|turn|>x 世".encode()
    with tokenizer_of(server, flags=TokenizerFlags(False, False)) as tokenizer:
        assert "control" not in tokenizer.tokenize("<|turn|>").types


@pytest.mark.model
def test_a_server_that_does_not_start_and_one_that_is_cancelled(tmp_path, toolsmith) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(CannotRun, match="llama-server does not start with"), llama_server(tmp_path / "bad.gguf"):
        pass
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled, match="starting llama-server"), llama_server(toolsmith, cancel=cancel):
        pass


def test_no_server_is_an_error_in_words() -> None:
    with tokenizer_of("http://127.0.0.1:9") as tokenizer, pytest.raises(CannotRun, match="does not answer"):
        tokenizer.tokenize("x")


ODD_ANSWERS = {
    "a page": b"<html>\n<body>hello</body></html>",
    "no object": b"[]",
    "too deep": b"[" * 100_000,
    "no pieces": b'{"tokens": [1, 2]}',
    "a number as piece": b'{"tokens": [{"id": 1, "piece": 5000000000}]}',  # bytes() makes as many zeros of it
    "no byte": b'{"tokens": [{"id": 1, "piece": [999]}]}',
    "half a character": b'{"tokens": [{"id": 1, "piece": "\\ud800"}]}',
    "an id too large": b'{"tokens": [{"id": 99999999999999, "piece": "a"}]}',
    "an id below 0": b'{"tokens": [{"id": -5, "piece": "a"}]}',
    "an endless id": b'{"tokens": [{"id": 1e400, "piece": "a"}]}',
}


@contextlib.contextmanager
def answering(code: int, body: bytes, length: int | None = None, pause_s: float | None = None) -> Iterator[str]:
    """The address of a server that answers everything so; with a `length` of more than it sends, it dies midway.

    With `pause_s` it sends `body` again and again, that long between two.
    """
    ended = threading.Event()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(code)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)
            with contextlib.suppress(OSError):  # nobody listens any more
                while pause_s is not None and not ended.wait(pause_s):
                    self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        ended.set()
        running.shutdown()


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_what_is_no_llama_server_is_an_error_in_one_line(name) -> None:
    with answering(200, ODD_ANSWERS[name]) as address, pytest.raises(CannotRun, match="accepted is") as told:
        tokenizer_of(address).tokenize("x")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("code", "length"), [(502, None), (200, 1000)])
def test_a_server_that_fails_or_dies_midway_is_an_error_in_one_line(code, length) -> None:
    page = b"<html>\n" + b"bad gateway " * 500
    with answering(code, page, length and len(page) + length) as address, pytest.raises(CannotRun) as told:
        tokenizer_of(address).tokenize("x")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("code", [200, 502])
def test_a_server_that_sends_on_and_on_is_left(code, monkeypatch) -> None:
    monkeypatch.setattr("workbench.tokenizers.llama_server.TIMEOUT_S", 0.5)
    with answering(code, b"x", length=1 << 30, pause_s=0.1) as address, pytest.raises(CannotRun) as told:
        tokenizer_of(address).tokenize("x")
    assert "\n" not in str(told.value)
    assert ("did not end within 0.5 s" if code == 200 else "502") in str(told.value)


@pytest.mark.parametrize("parse_special", [True, False])
def test_special_tokens_in_a_json_are_text_where_asked(toolsmith_json, parse_special) -> None:
    with tokenizer_of(toolsmith_json, flags=TokenizerFlags(False, parse_special)) as tokenizer:
        tokens = tokenizer.tokenize("a<|end|>")
    assert ("control" in tokens.types) == parse_special
    assert b"".join(tokens.pieces) == b"a<|end|>"


def spm_like(folder: Path, **changes: object) -> Path:
    """A tokenizer.json as SPM models have them: "▁" for a space, bytes for what is not in the vocabulary."""
    words = ["<unk>", "<s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "▁h", "i", "▁hi", "h"]
    post = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    data = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [{"id": i, "content": words[i], **special} for i in (0, 1)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": post,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {word: i for i, word in enumerate(words)},
            "merges": ["▁ h", "▁h i"],
        },
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(data | changes), "utf-8")
    return path


def test_a_json_of_an_spm_model(tmp_path) -> None:
    spm_like(tmp_path)
    with tokenizer_of(tmp_path) as tokenizer:  # its folder
        tokens = tokenizer.tokenize("hi é hi")
        back = tokenizer.detokenize(tokens)
    assert tokens.pieces == (b"<s>", b" hi", b" ", b"\xc3", b"\xa9", b" hi")  # not cut at 4, as the file says
    assert tokens.types == ("control", "normal", "normal", "byte", "byte", "normal")
    assert tokens.byte_spans.tolist() == [[0, 0], [0, 2], [2, 3], [3, 4], [4, 5], [5, 8]]
    assert tokens.added == ((0, "the post-processor of tokenizer.json"),)
    assert tokens.n_vocab == 263
    assert back == "hi é hi".encode()


def test_a_json_that_folds_letters(tmp_path) -> None:
    lower = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}
    spm_like(tmp_path, normalizer=lower, decoder={"type": "ByteFallback"}, post_processor=None)
    with tokenizer_of(tmp_path) as tokenizer:
        tokens = tokenizer.tokenize("HI é Ⅷ")
    assert [tokens.pieces[0], tokens.pieces[1]] == [b"h", b"i"]
    assert tokens.spans[:2].tolist() == [[0, 1], [1, 2]]
    assert tokens.spans[-4:].tolist() == [[5, 6]] * 4  # one Ⅷ became viii, in bytes
    assert "the tokenizer tells" in tokens.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "tokenizer"), ('{"model": {"type": "none"}}', "accepted is a tokenizer.json"), ("[]", "accepted")],
)
def test_a_bad_json_is_an_error_in_words(tmp_path, content, words) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BadFile, match=words):
        tokenizer_of(tmp_path)


def test_a_json_with_ids_that_llama_cpp_cannot_count(tmp_path) -> None:
    words = {"hi": 0, "<unk>": 2**32 - 1}
    spm_like(tmp_path, model={"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}, normalizer=None, decoder=None)
    with (
        tokenizer_of(tmp_path) as tokenizer,
        pytest.raises(CannotRun, match="the token id 4294967295; accepted are ids"),
    ):
        tokenizer.tokenize("ho")


@pytest.mark.model
@pytest.mark.parametrize(("text", "words"), [("a\ud800", r"U\+D800\) at character 1"), (None, "of the type NoneType")])
def test_what_is_no_text_is_said_alike(toolsmith, toolsmith_json, text, words) -> None:
    for source in (toolsmith, toolsmith_json, "http://127.0.0.1:9"):
        with tokenizer_of(source) as tokenizer, pytest.raises(BadRequest, match=words):
            tokenizer.tokenize(text)


@pytest.mark.model
def test_white_space_around_an_address_is_none_of_it(server) -> None:
    with tokenizer_of(f" {server}/ \n") as tokenizer:
        assert tokenizer.name == f"the server at {server}"
        assert len(tokenizer.tokenize("x"))


@pytest.mark.model
def test_what_is_no_comparison(toolsmith, toolsmith_json) -> None:
    with pytest.raises(BadRequest, match="by is 'id'; accepted are ids, pieces"):
        beside(toolsmith, toolsmith_json, "x", by="id")
    with pytest.raises(BadRequest, match="the texts are of the type list"):
        beside(toolsmith, toolsmith_json, ["x"])


def test_what_is_no_tokenizer(tmp_path) -> None:
    with pytest.raises(BadRequest, match=r"accepted are a setup, a GGUF file"):
        tokenizer_of(tmp_path / "nothing")
    with pytest.raises(BadFile, match=r"expected a tokenizer\.json"):
        tokenizer_of(tmp_path / "nothing.json")
    with pytest.raises(BadRequest, match="a request without a setup"):
        round_trip([{"role": "user", "content": "Hi"}], tmp_path)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "x" * 5000 + ".json", "~nobody-of-that-name/x.json", "~nobody-else", "a\0b"]
)
def test_an_odd_path_is_an_error_in_words(name) -> None:
    with pytest.raises((BadRequest, BadFile), match=r"is no tokenizer|cannot be read|no file at"):
        tokenizer_of(name)


def test_without_the_library_the_command_is_named(toolsmith_json, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(CannotRun, match=r"pip install 'gguf-workbench\[hf\]'"):
        tokenizer_of(toolsmith_json)


@pytest.mark.model
def test_a_file_keeps_its_byte_order_mark(toolsmith, toolsmith_json, tmp_path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\r\ntwo".encode())
    found = beside(toolsmith, toolsmith_json, path)
    assert found["text.txt"].text_a == "\ufeffone\r\ntwo"
    assert found.agree
    path.unlink()
    os.mkfifo(path)  # can be read once
    threading.Thread(target=path.write_bytes, args=["\ufeffone".encode()], daemon=True).start()
    assert beside(toolsmith, toolsmith_json, path)["text.txt"].text_a == "\ufeffone"
    path.unlink()
    path.write_bytes(b"\xff")
    with pytest.raises(BadFile, match="not UTF-8"):
        beside(toolsmith, toolsmith_json, path)


@pytest.mark.model
def test_a_text_that_is_refused_is_a_case(toolsmith, toolsmith_json) -> None:
    found = beside(toolsmith, toolsmith_json, {"good": "x", "bad": "\ud800"})
    assert [case.name for case in found.different] == ["bad"]
    assert "lone surrogate" in found.to_dict()["different"][0]["error"]
    assert list(found.to_frame()["agree"]) == [True, False]


@pytest.mark.model
def test_a_cancel_stops_between_texts(toolsmith, toolsmith_json) -> None:
    cancel = Cancel()
    with pytest.raises(Cancelled):
        beside(toolsmith, toolsmith_json, progress=lambda *_: cancel.set(), cancel=cancel)


@pytest.mark.model
def test_two_vocabularies_say_so(tiny_bpe, toolsmith) -> None:
    found = beside(tiny_bpe, toolsmith, "q w z", by="ids")
    assert not found.agree
    assert "two vocabularies; compare by pieces" in found.notes[0]
    assert found.to_dict()["notes"] == list(found.notes)
    assert beside(tiny_bpe, toolsmith, "q w z", by="pieces").agree


def test_spm_puts_a_space_before_a_text_and_takes_it_off_again(tiny_spm) -> None:
    trip = round_trip("hello wörld", tiny_spm)
    assert trip.exact
    assert [(token.token, token.piece, token.stands) for token in trip.unlike] == [
        (0, b"<s>", b""),
        (1, b" hello", b"hello"),
    ]
    assert [character.text for character in trip.cut] == ["ö"]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        alphabet=st.one_of(
            st.sampled_from(" helowrd▁\n\u0301é世<|end|>🎉\0"), st.characters(exclude_categories=("Cs",))
        )
    )
)
def test_nothing_is_lost_on_any_text(open_tokenizers, text) -> None:
    every = [tokenizer.tokenize(text) for tokenizer in open_tokenizers]
    for one, other in itertools.permutations(every, 2):
        found = align_tokens(one, other, text, by="pieces")
        check_tiling(found, (len(text.encode()),) * 2)
    for tokenizer, tokens in zip(open_tokenizers, every, strict=True):
        trip = RoundTrip(text, tokens, tokenizer.detokenize(tokens))
        unlike = {token.token: token.stands for token in trip.unlike}
        parts = [(start, trip.raw[start:end]) for start, end in trip.eaten]
        for i, (start, _) in enumerate(tokens.byte_spans.tolist()):
            parts.append((start, unlike.get(i, tokens.pieces[i]) or b""))
        assert b"".join(part for _, part in sorted(parts, key=lambda item: item[0])) == trip.raw
        assert not tokens.notes
        assert {tokens.types[i] for i in unlike} <= {"control", "normal"}


@pytest.fixture(scope="module")
def open_tokenizers(tiny_bpe, tiny_spm, toolsmith_json):
    made = [tokenizer_of(tiny_bpe), tokenizer_of(tiny_spm), tokenizer_of(toolsmith_json)]
    yield made
    for tokenizer in made:
        tokenizer.__exit__()
