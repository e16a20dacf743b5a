"""Whether a build of llama.cpp computes right on this machine: toolsmith in five precisions, held against figures."""

from __future__ import annotations

from workbench.proof.result import Proof, Result
from workbench.proof.run import prove
from workbench.proof.settle import Settled, last, settle

__all__ = ["Proof", "Result", "Settled", "last", "prove", "settle"]
