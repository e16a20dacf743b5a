"""What this build of llama.cpp cannot do on this machine: found once, remembered in the cache, held to from then on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.runtime import records

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
