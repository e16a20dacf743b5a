"""Examines a machine: what works, what does not and the command that mends it, and how two machines differ."""

from workbench.doctor.check import Check
from workbench.doctor.result import Doctor
from workbench.doctor.run import CHECKS, doctor

__all__ = ["CHECKS", "Check", "Doctor", "doctor"]
