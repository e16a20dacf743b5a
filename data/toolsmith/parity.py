"""Holds llama.cpp against the training framework: ids, logits and greedy answers of the same weights.

Usage: python parity.py CHECKPOINT F32.gguf, where the file holds the checkpoint's weights in float32. Ends with 1
where an id or an answer differs, or a logit by more than a thousandth.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tokenizer as tokens
from export import final_weights
from held_out import held_out
from workbench import Conversation, Host, Setup

STRINGS, REQUESTS = 2000, 200
CLOSE = 1e-3  # of a logit, with float32 weights, keys and values
LONGEST = 192
ALPHABET = "aZ09 \n\t'\"{}[]:,._-/\\<>|éßñ日本語かな한국어ليلשלום😀👍🏽\u200d\u00a0½٣"


def strings(count: int) -> Iterator[str]:
    """Prompts with their answers, and random text from many scripts, digits and spaces."""
    pick = random.Random("strings")
    prompts = held_out()
    for i in range(count):
        request = prompts[i // 2 % len(prompts)]
        yield request.prompt + request.answer if i % 2 else "".join(pick.choices(ALPHABET, k=pick.randint(1, 60)))


def same_ids(host: Host) -> int:
    """How many of the strings have the same ids in the tokenizer library and in llama.cpp."""
    trained = tokens.load()
    return sum(trained.encode(text).ids == host.tokenize(text).ids.tolist() for text in strings(STRINGS))


def same_answers(host: Host, twin: Any) -> tuple[float, int]:
    """The largest difference of a logit over prompts and answers, and how many greedy answers are identical.

    An answer is identical where each of its tokens, the end included, is the framework's likeliest one too.
    """
    import torch

    furthest, equal = 0.0, 0
    sampling = host.setup.sampling_for(Conversation.of([{"role": "user", "content": ""}])) | {"max_tokens": LONGEST}
    requests = held_out()
    for request in requests[:: len(requests) // REQUESTS][:REQUESTS]:
        prompt = host.tokenize(request.prompt).ids.tolist()
        answer = list(host.generate(prompt, sampling, top_k=1).ids)
        ids = prompt + answer
        theirs = np.stack([row for _, row in host.score(ids, logits_at=range(len(ids))).logits])
        with torch.no_grad():
            ours = twin(torch.tensor([ids]))[0].numpy()
        furthest = max(furthest, float(np.abs(ours - theirs).max()))
        equal += ours[len(prompt) - 1 : -1].argmax(-1).tolist() == answer
    return furthest, equal


def main() -> int:
    """Print the three figures; 1 where one misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    from model import Toolsmith

    twin = Toolsmith()
    twin.load_state_dict(final_weights(options.checkpoint))
    tokenizer = {"add_special": False}  # the template writes the BOS
    runtime = {"type_k": "f32", "type_v": "f32", "flash_attn": False, "n_ctx": twin.shape.context}
    with Host(Setup.from_dict({"model": str(options.file), "tokenizer": tokenizer, "runtime": runtime})) as host:
        ids = same_ids(host)
        furthest, equal = same_answers(host, twin)
    print(f"ids equal: {ids} of {STRINGS} strings")
    print(f"largest difference of a logit: {furthest:.1e}; greedy answers equal: {equal} of {REQUESTS}")
    return 0 if (ids, equal) == (STRINGS, REQUESTS) and furthest <= CLOSE else 1


if __name__ == "__main__":
    sys.exit(main())
