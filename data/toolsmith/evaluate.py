"""Measures an exported file in llama.cpp: exact answers by kind, and honest parity with the training framework.

python evaluate.py FILE.gguf gives the table of 500 held-out requests; with `--parity CHECKPOINT` ids, logits and
greedy answers are compared too, which needs torch and the file of the same weights in float32.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import Llama

import tokenizer as tokens
from held_out import QUOTAS, HeldOut, held_out, shared_with_training

LONGEST = 160  # tokens of an answer


def load(path: Path, threads: int, *, exact: bool = False) -> Llama:
    """The model in llama.cpp; `exact`: all logits, and keys and values in float32."""
    given: dict[str, Any] = {"n_ctx": 1024, "n_threads": threads, "n_threads_batch": threads, "verbose": False}
    if exact:
        given |= {"logits_all": True, "type_k": 0, "type_v": 0}
    return Llama(str(path), **given)


def ids_of(model: Llama, text: str) -> list[int]:
    """Ids of a rendered prompt, which brings its own BOS."""
    return model.tokenize(text.encode(), add_bos=False, special=True)


def greedy(model: Llama, prompt: str) -> list[int]:
    """The likeliest answer, without the token that ends it; -1 at the end says that it never came."""
    found: list[int] = []
    model.reset()
    for token in model.generate(ids_of(model, prompt), temp=0.0, repeat_penalty=1.0):
        if token == tokens.END:
            return found
        found.append(token)
        if len(found) == LONGEST:
            break
    return [*found, -1]


def calls_in(text: str) -> list[dict[str, Any]] | None:
    """The tool calls of an answer, or None where one cannot be read."""
    try:
        return [json.loads(call) for call in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.DOTALL)] or None
    except json.JSONDecodeError:
        return None


def facts(request: HeldOut, text: str | None) -> dict[str, bool]:
    """What is right about an answer; None is one that never ended."""
    right = {"exact": text == request.answer}
    if "call" in request.kind:
        calls, wanted = calls_in(text or ""), calls_in(request.answer) or []
        right["parsed"] = calls is not None
        right["names"] = [c.get("name") for c in calls or ()] == [c["name"] for c in wanted]
    if request.kind == "code":
        fence = re.search(r"```python\n(.*?)```", text or "", re.DOTALL)
        right["parses"] = fence is not None and _is_python(fence[1])
    return right


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def interval(right: int, count: int) -> str:
    """Wilson's 95 % interval of a share, in percent."""
    z, p = 1.96, right / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return f"{100 * (middle - half):.1f}-{100 * (middle + half):.1f}"


def table(results: list[tuple[HeldOut, dict[str, bool]]]) -> Iterator[str]:
    """Markdown rows: group, requests, exact, interval, and the other facts where they apply."""
    yield "| requests | n | exact % | 95 % interval | also |"
    yield "| --- | --- | --- | --- | --- |"
    groups = [("all", lambda _: True), ("unseen tools and names", lambda one: one.unseen)]
    groups += [("all calls", lambda one: "call" in one.kind)]
    groups += [(kind, lambda one, kind=kind: one.kind == kind) for kind in QUOTAS]
    for name, belongs in groups:
        chosen = [right for one, right in results if belongs(one)]
        exact = sum(right["exact"] for right in chosen)
        extra = [key for key in chosen[0] if key != "exact" and all(key in right for right in chosen)]
        also = ", ".join(f"{key} {100 * sum(right[key] for right in chosen) / len(chosen):.1f}" for key in extra)
        share = 100 * exact / len(chosen)
        yield f"| {name} | {len(chosen)} | {share:.1f} | {interval(exact, len(chosen))} | {also} |"


def measure(path: Path, *, threads: int, show: int) -> None:
    """Print the table, the time a request and some wrong answers."""
    requests, model = held_out(), load(path, threads)
    print(f"shared with training: {shared_with_training(requests) or 'nothing'}")
    started, results, wrong = time.monotonic(), [], []
    for request in requests:
        ids = greedy(model, request.prompt)
        text = None if ids[-1:] == [-1] else model.detokenize(ids, special=True).decode("utf-8", "replace")
        results.append((request, facts(request, text)))
        if text != request.answer:
            wrong.append((request, text))
    seconds = (time.monotonic() - started) / len(requests)
    print("\n".join(table(results)), f"\n{seconds:.3f} s a request")
    for request, text in wrong[:show]:
        last = request.messages[-1]["content"]
        print(f"--- {request.kind}{' unseen' * request.unseen}: {last}\n want {request.answer}\n got  {text}")


def strings(count: int) -> Iterator[str]:
    """Prompts, and random text from many scripts, digits and spaces."""
    pick = random.Random("strings")
    prompts = held_out()
    alphabet = "aZ09 \n\t'\"{}[]:,._-/\\<>|éßñ日本語かな한국어ليلשלום😀👍🏽\u200d\u00a0½٣"
    for i in range(count):
        if i % 2:
            yield prompts[i // 2 % len(prompts)].prompt + prompts[i // 2 % len(prompts)].answer
        else:
            yield "".join(pick.choice(alphabet) for _ in range(pick.randint(0, 60)))


def parity(path: Path, checkpoint: Path, weights: str, *, threads: int) -> None:
    """Print how far llama.cpp with float32 weights is from the training framework."""
    import torch

    from model import Toolsmith

    torch.set_num_threads(threads)
    model, trained = load(path, threads, exact=True), tokens.load()
    texts = list(strings(2000))
    same = sum(trained.encode(text).ids == ids_of(model, text) for text in texts)
    print(f"ids equal: {same} of {len(texts)} strings")
    twin = Toolsmith()
    twin.load_state_dict(torch.load(checkpoint)[weights])
    furthest, equal, requests = 0.0, 0, held_out()[::5] + held_out()[1::5]
    for request in requests:
        answer = greedy(model, request.prompt)
        ids = ids_of(model, request.prompt) + [token for token in answer if token >= 0]
        model.reset()
        model.eval(ids)
        with torch.no_grad():
            ours = twin(torch.tensor([ids]))[0].numpy()
        theirs = np.asarray(model.scores[: len(ids)])
        furthest = max(furthest, float(np.abs(ours - theirs).max()))
        start = len(ids_of(model, request.prompt)) - 1
        equal += [*ids[start + 1 :], tokens.END] == ours[start:].argmax(-1).tolist()
    print(f"largest difference of a logit: {furthest:.2e}; greedy answers equal: {equal} of {len(requests)}")


def main() -> None:
    """Measure one file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--parity", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--weights", choices=("mean", "model"), default="mean")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print")
    options = parser.parse_args()
    if options.parity:
        parity(options.file, options.parity, options.weights, threads=options.threads)
    else:
        measure(options.file, threads=options.threads, show=options.show)


if __name__ == "__main__":
    main()
