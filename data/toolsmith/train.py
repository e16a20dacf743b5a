"""Trains toolsmith.

Two processes of one thread each, gradients averaged, conversations made as it goes.

python train.py --minutes 40 --out FOLDER writes FOLDER/checkpoint.pt every few minutes; started again on the same
folder it goes on from there. The learning rate follows the share of the minutes used and ends at zero; the mean
of the last weights is kept beside them, so that a run that is stopped early leaves a usable model too.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  (its customary name)
from torch import Tensor

import tokenizer as tokens
from generator import conversations, pieces
from model import Toolsmith, teach_copying
from optimizer import Optimizer
from words import Slots

WORKERS = 2
# Rows and tokens of a batch of one worker: short ones first, then every sixth is long.
SHORT, USUAL, LONG = (8, 256), (4, 512), (2, 1024)
MEAN = 0.9  # the running mean of the weights moves by a tenth every ten steps


@dataclass
class Rows:
    """Encoded conversations, cut to length; conversation `kinds` and answer spans are kept for validation."""

    slots: Slots
    most_tools: int = 4
    tokenizer: Any = field(default_factory=tokens.load)
    waiting: list[Any] = field(default_factory=list)

    def next(self, length: int) -> tuple[list[int], list[bool]]:
        """Ids of one conversation and which of them the model has to write, at most `length` + 1 of each."""
        if not self.waiting:
            self.waiting = conversations(self.slots, exchanges=16, most_tools=self.most_tools)
        parts = pieces(self.waiting.pop())
        ids: list[int] = []
        written: list[bool] = []
        for encoded, (_, own) in zip(self.tokenizer.encode_batch([text for text, _ in parts]), parts, strict=True):
            ids += encoded.ids
            written += [own] * len(encoded.ids)
            if len(ids) > length:
                break
        return ids[: length + 1], written[: length + 1]

    def batch(self, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Ids (rows, length + 1), and (rows, length) whether the model has to write token i + 1."""
        ids = torch.full((rows, length + 1), tokens.PAD)
        written = torch.zeros(rows, length, dtype=torch.bool)
        for row in range(rows):
            found, own = self.next(length)
            ids[row, : len(found)] = torch.tensor(found)
            written[row, : len(found) - 1] = torch.tensor(own[1:])
        return ids, written


class Validation:
    """Held-out conversations: the share of answers of each kind in which every token is the likeliest one."""

    def __init__(self, count: int = 48) -> None:
        tokenizer = tokens.load()
        self.cases: list[tuple[list[int], list[tuple[str, int, int]]]] = []
        for unseen in (False, True):
            slots = Slots(f"validation {unseen}", "held-out")
            found = [one for _ in range(count // 2) for one in conversations(slots, exchanges=4, unseen=unseen)]
            self.cases += [self._case(tokenizer, one, " unseen" if unseen else "") for one in found[: count // 2]]

    @staticmethod
    def _case(tokenizer: Any, conversation: Any, suffix: str) -> tuple[list[int], list[tuple[str, int, int]]]:
        ids: list[int] = []
        spans = []
        kinds = iter([kind for kind in conversation.kinds if kind])
        for text, own in pieces(conversation):
            start = len(ids)
            ids += tokenizer.encode(text).ids
            if own:
                spans.append((next(kinds) + suffix, start, len(ids)))
        return ids[:1024], [span for span in spans if span[2] <= 1024]

    @torch.no_grad()
    def __call__(self, model: Toolsmith) -> str:
        """`call 97/100` for each kind, and all together."""
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for ids, spans in self.cases:
            guesses = model(torch.tensor([ids[:-1]]), torch.bfloat16)[0].argmax(-1).tolist()
            for kind, start, end in spans:
                seen[kind] += 1
                right[kind] += guesses[start - 1 : end - 1] == ids[start:end]
        kinds = ", ".join(f"{kind} {right[kind]}/{seen[kind]}" for kind in sorted(seen))
        return f"all {right.total() / seen.total():.3f}: {kinds}"


class Run:
    """The state of a training run in one worker."""

    def __init__(self, rank: int, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.rank, self.options = rank, options
        self.model = Toolsmith()
        teach_copying(self.model)
        self.mean = copy.deepcopy(self.model)
        self.optimizer = Optimizer(self.model, matrix_rate=options.matrix_rate, other_rate=options.other_rate)
        self.elapsed, self.steps, self.tokens = 0.0, 0, 0
        self.file = Path(options.out) / "checkpoint.pt"
        if self.file.exists():
            self._resume()
        self.rows = Rows(Slots(f"{options.seed} {rank} {self.steps}", "train", tokens.letters(tokens.load())))
        for layer in self.model.layers:
            layer.compile(dynamic=False)  # all layers share one compiled graph for each shape

    def loss(self, rows: int, length: int) -> Tensor:
        """Mean nats of the tokens that the model has to write, on fresh rows; matrices multiplied in bfloat16."""
        ids, written = self.rows.batch(rows, length)
        logits = self.model(ids[:, :-1], torch.bfloat16, written)
        return F.cross_entropy(logits.float(), ids[:, 1:][written])

    def warm(self) -> None:
        """Compile for every shape before the clock starts."""
        for shape in (SHORT, USUAL, LONG):
            self.loss(*shape).backward()
        self.model.zero_grad(set_to_none=True)
        dist.barrier()

    def step(self, share: float) -> Tensor:
        """One update; `share` of the minutes is used. Returns the loss on this worker's rows."""
        self.rows.most_tools = 2 if share < 0.15 else 4
        loss = self.loss(*(SHORT if share < 0.15 else LONG if self.steps % 6 == 5 else USUAL))
        loss.backward()
        self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        flat = self.options.flat
        self.optimizer.step(min(1.0, (self.steps + 1) / 60, max(0.0, (1 - share) / (1 - flat))))
        self.model.zero_grad(set_to_none=True)
        self.steps += 1
        self.tokens += WORKERS * 2048
        if self.rank == 0 and self.steps % 10 == 0:
            for mean, now in zip(self.mean.parameters(), self.model.parameters(), strict=True):
                mean.data.lerp_(now.data, 1 - min(MEAN, self.steps / 200))
        return loss.detach()

    def _average_gradients(self) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= WORKERS
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def save(self) -> None:
        """Write the checkpoint at once or not at all."""
        kept = ("elapsed", "steps", "tokens")
        state = {"mean": self.mean.state_dict(), "model": self.model.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "counts": {name: getattr(self, name) for name in kept}}
        torch.save(state, self.file.with_suffix(".new"))
        self.file.with_suffix(".new").replace(self.file)

    def _resume(self) -> None:
        state = torch.load(self.file)
        self.mean.load_state_dict(state["mean"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self).update(state["counts"])


def work(rank: int, options: argparse.Namespace) -> None:
    """One worker from start to end; worker 0 prints, validates and saves."""
    torch.set_num_threads(1)
    parent = os.getppid()
    place = (Path(options.out) / f"rendezvous-{os.getppid()}").resolve()
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=WORKERS)
    run = Run(rank, options)
    validation = Validation() if rank == 0 else None
    run.warm()
    started = time.monotonic() - run.elapsed
    saved, losses = run.elapsed, []
    share = torch.zeros(1)
    while share.item() < 1 and os.getppid() == parent:  # a worker outlives nobody
        losses.append(run.step(share.item()).item())
        run.elapsed = time.monotonic() - started
        share.fill_(run.elapsed / (60 * options.minutes))
        dist.broadcast(share, 0)
        if rank == 0 and run.steps % 25 == 0:
            mean = sum(losses[-25:]) / len(losses[-25:])
            done = f"{run.elapsed:.0f} s, step {run.steps}, {run.tokens / 1e6:.2f} M tokens"
            print(f"{done}, loss {mean:.4f}", flush=True)
        if run.elapsed - saved > 60 * options.every or share.item() >= 1:
            saved = run.elapsed
            if validation:
                run.save()
                print(f"  mean of weights: {validation(run.mean)}", flush=True)
    if validation:
        print(f"  last weights: {validation(run.model)}", flush=True)
    dist.destroy_process_group()


def main() -> None:
    """Start the workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints")
    parser.add_argument("--out", required=True, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--matrix-rate", type=float, default=0.02)
    parser.add_argument("--other-rate", type=float, default=1.5e-3)
    parser.add_argument("--flat", type=float, default=0.4, help="share of the minutes at the full learning rate")
    options = parser.parse_args()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(work, (options,), nprocs=WORKERS)


if __name__ == "__main__":
    main()
