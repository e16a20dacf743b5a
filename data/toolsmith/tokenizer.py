"""Trains the tokenizer: byte-level BPE in which a word has the same tokens wherever it stands.

Letters are merged first and on their own, so `src`, ` src` and `"src` all hold the token `src`: whoever copies
a path from a request into JSON copies ids. Then come all pairs of digits (any splitter but groups of three
gives other ids), then punctuation with its spaces and line ends, last a space before the commonest frame words.

The splitter is llama.cpp's `llama-bpe`. Usage: python tokenizer.py, which writes tokenizer.json.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from generator import conversations, pieces
from words import KNOWN, Slots

HERE = Path(__file__).parent
CONTROL = ("<|pad|>", "<|begin|>", "<|turn|>", "<|end|>")
TAGS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
PAD, BEGIN, TURN, END = range(4)
VOCABULARY = 1024
PRE = "llama-bpe"
# What llama.cpp calls llama-bpe: https://github.com/ggml-org/llama.cpp/blob/b6000/src/llama-vocab.cpp
SPLITTER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPACED = 60  # frame words with a token of their own after a space
PUNCTUATION = 56  # merges among punctuation, spaces and line ends


def load(path: Path = HERE / "tokenizer.json") -> Tokenizer:
    """The trained tokenizer."""
    return Tokenizer.from_file(str(path))


def train(texts: list[str]) -> Tokenizer:
    """A tokenizer of `VOCABULARY` tokens from rendered conversations."""
    plain = _without_specials(texts)
    digits = [(a, b) for a in "0123456789" for b in "0123456789"]
    punctuation = _merges(plain, r"[\p{L}\p{N}]+", "removed", PUNCTUATION)
    room = VOCABULARY - len(CONTROL + TAGS) - 256 - len(digits) - len(punctuation) - SPACED
    letters = _merges(plain, r"[^\p{L}]+", "removed", room)
    words = {"a"} | {a + b for a, b in letters if len(a + b) > 1} - set(KNOWN)
    counts = Counter(word for text in plain for word in text.split(" ")[1:])
    spaced = [("Ġ", word) for word, _ in counts.most_common() if word in words][:SPACED]
    return _assemble([*letters, *digits, *punctuation, *spaced])


def _without_specials(texts: list[str]) -> list[str]:
    cut = re.compile("|".join(map(re.escape, CONTROL + TAGS)))
    return [part for text in texts for part in cut.split(text)]


def _merges(texts: list[str], pattern: str, behavior: str, count: int) -> list[tuple[str, str]]:
    """The first `count` BPE merges of the texts after splitting at `pattern`."""
    split = [pre_tokenizers.Split(Regex(pattern), behavior), pre_tokenizers.Split(Regex(SPLITTER), "isolated")]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + count, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return merges_of(tokenizer)


def letters(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The tokens that are lower-case letters and nothing else."""
    return tuple(sorted(token for token in tokenizer.get_vocab() if re.fullmatch("[a-z]+", token)))


def merges_of(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The merges of a tokenizer in their order."""
    return [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]


def _assemble(merges: list[tuple[str, str]]) -> Tokenizer:
    tokens = [*CONTROL, *TAGS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    tokens = list(dict.fromkeys(tokens))
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(SPLITTER), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL + TAGS])
    return tokenizer


def main() -> None:
    """Train on 6,000 exchanges and write tokenizer.json."""
    slots = Slots("tokenizer", "train")
    found = [one for _ in range(1000) for one in conversations(slots, exchanges=6)]
    tokenizer = train(["".join(text for text, _ in pieces(one)) for one in found])
    tokenizer.save(str(HERE / "tokenizer.json"))
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
