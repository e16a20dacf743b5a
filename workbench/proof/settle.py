"""From proofs to what this build may use here: the best CPU variant that holds, or no extra buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.errors import CannotRun
from workbench.progress import Cancel, Progress
from workbench.proof.result import Proof
from workbench.proof.run import prove
from workbench.runtime import backends, limits, records
from workbench.runtime.limits import Limits

BUFFERS_ONLY = {"AMX-TILE", "AMX-INT8", "AMX-BF16"}  # instruction sets of extra buffers alone
PROOFS = "proofs"  # the folder in the cache
Prover = Callable[[str], Proof]


class Settled(NamedTuple):
    """What was decided: the proofs in the order of trial, the one that counts, and what is left out from now on."""

    proofs: tuple[Proof, ...]
    taken: Proof | None
    limits: Limits

    @property
    def sentence(self) -> str:
        """The outcome in one sentence, without a full stop."""
        if self.taken is None:
            return self.proofs[0].sentence()
        return self.limits.reason or self.taken.sentence()

    def to_dict(self) -> dict[str, Any]:
        """`{usable, sentence, variant, extra_buffers, refused_variants, proofs}`."""
        return {
            "usable": self.taken is not None,
            "sentence": self.sentence,
            "variant": self.taken.variant if self.taken else "",
            "extra_buffers": not self.limits.no_extra_bufts,
            "refused_variants": list(self.limits.refused_variants),
            "proofs": [proof.to_dict() for proof in self.proofs],
        }


def last() -> dict[str, Any] | None:
    """What the last proof of the installed build on this machine decided, as `Settled.to_dict`; None: none was made."""
    found = records.read(PROOFS)
    return found if isinstance(found, dict) and isinstance(found.get("proofs"), list) else None


def settle(*, strict: bool = False, progress: Progress | None = None, cancel: Cancel | None = None) -> Settled:
    """Prove the installed build and remember what must be left out on this machine.

    Of a build with CPU variants the best one that holds is taken, and those above it are refused from now on; see
    `decide` for one that holds without extra buffers alone, which `strict` does not take. Errors: `CannotRun`,
    `Cancelled`.
    """
    limits.forget()

    def proof_of(variant: str) -> Proof:
        return prove(variant=variant, progress=progress, cancel=cancel)

    names = backends.ranked() if backends.variants() else [""]
    if not names:
        there = ", ".join(backends.variants())
        raise CannotRun(f"none of this llama.cpp's CPU variants ({there}) is made for this processor")
    settled = decide(names, proof_of, strict=strict)
    if settled.limits != Limits():
        limits.remember(settled.limits)
    records.write(PROOFS, settled.to_dict())
    return settled


def decide(names: list[str], proof_of: Prover, *, strict: bool) -> Settled:
    """The decision alone, with proofs from `proof_of`; `names` are the variants, the best first.

    A variant that only works without extra buffers is given up for a lesser one where that lacks nothing but AMX, which
    only extra buffers use: wider vectors are worth more than buffers.
    """
    proofs: list[Proof] = []
    half: Proof | None = None
    for name in names:
        proofs.append(proof_of(name))
        found = proofs[-1]
        if half is not None and not {*half.features} - {*found.features} <= BUFFERS_ONLY:
            break
        if found.holds:
            return Settled(tuple(proofs), found, _limits(proofs, found))
        if half is None and found.holds_without_extra_buffers:
            half = None if strict else found
    return Settled(tuple(proofs), half, _limits(proofs, half) if half else Limits())


def _limits(proofs: list[Proof], taken: Proof) -> Limits:
    """What to leave out so that `taken` is what runs."""
    if taken is proofs[0] and taken.holds:
        return Limits()
    refused = tuple(proof.variant for proof in proofs if proof is not taken and proof.variant)
    refused = refused[: [proof.variant for proof in proofs].index(taken.variant)] if taken.variant else ()
    lost = [name for name in proofs[0].features if name not in taken.features]
    parts = [f"without {', '.join(lost)}"] if lost else []
    parts += [] if taken.holds else ["without extra buffers"]
    how = " and ".join(parts) or f"as {taken.variant}"
    return Limits(not taken.holds, f"llama.cpp runs {how} here, for {proofs[0].sentence()}", refused)
