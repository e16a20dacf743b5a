"""What this build of llama.cpp cannot do on this machine: found once, remembered in the cache, held to from then on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runtime import records

if TYPE_CHECKING:
    from workbench.setup import Setup

LIMITS = "limits"  # the folder in the cache


@dataclass(frozen=True)
class Limits:
    """`no_extra_bufts`: weights must stay out of the CPU's extra buffers (repacking, AMX); `reason`: why, a sentence.

    `refused_variants`: CPU variants of the build that must not be loaded. The default is a build that is not limited,
    as far as is known.
    """

    no_extra_bufts: bool = False
    reason: str = ""
    refused_variants: tuple[str, ...] = ()

    def runtime(self, setup: Setup) -> dict[str, Any]:
        """The setup's effective runtime section as it can be used here: what the setup itself says stays as it is."""
        runtime: dict[str, Any] = setup.effective()["runtime"]
        if self.no_extra_bufts and setup.runtime.use_extra_bufts is None:
            runtime["use_extra_bufts"] = False
        return runtime

    def notes(self, setup: Setup) -> list[str]:
        """What is otherwise than by default because of this, or is used in spite of it, a sentence each."""
        said, asked = [], setup.runtime.use_extra_bufts
        if self.no_extra_bufts and asked:
            said.append(f"extra buffers are on, as the setup's use_extra_bufts says, though {self.reason}")
        elif self.no_extra_bufts and asked is None:
            said.append(f"extra buffers are off (use_extra_bufts is false here, not true as by default): {self.reason}")
        if self.refused_variants:
            names = ", ".join(self.refused_variants)
            said.append(f"of this build's CPU variants these are not loaded: {names}; {self.reason}")
        return said


def known(package: Path | None = None) -> Limits:
    """What is remembered of the build in `package` (llama_cpp's folder; None: the installed one) on this machine.

    Nothing where no build is there, where nothing was found, and where the file cannot be read.
    """
    try:
        data = records.read(LIMITS, package)
        found = Limits(**(data | {"refused_variants": tuple(data["refused_variants"])}))
    except (KeyError, TypeError):
        return Limits()
    names = all(isinstance(name, str) for name in found.refused_variants)
    sound = names and isinstance(found.no_extra_bufts, bool) and isinstance(found.reason, str) and found.reason
    return found if sound else Limits()


def remember(limits: Limits, package: Path | None = None) -> bool:
    """Keep `limits` for the build in `package` on this machine, in place of what was known; whether that worked."""
    return records.write(LIMITS, asdict(limits), package)


def forget(package: Path | None = None) -> None:
    """Forget what was found of the build in `package` on this machine, so that it is tried anew."""
    records.remove(LIMITS, package)
