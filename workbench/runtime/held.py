"""What a process holds and gives back before it loads something else: free, where that is foreseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.runtime.devices import Device
from workbench.runtime.rpc import is_here

MIB = 2**20


class Held:
    """Buffers that are given back, by llama.cpp's names (`CPU KV`, `RPC0[127.0.0.1:50052] model`), in MiB."""

    def __init__(self, buffers_mib: Mapping[str, float]) -> None:
        self._bytes: dict[str, int] = {}  # by place: a device's name, or the address of an RPC server
        for buffer, mib in buffers_mib.items():
            place = buffer.rpartition(" ")[0].strip()
            place = place.partition("[")[2].removesuffix("]") or place
            self._bytes[place] = self._bytes.get(place, 0) + round(mib * MIB)

    def on(self, device: Device) -> int:
        """Bytes of a device that has a memory of its own."""
        return self._bytes.get(device.name, 0) + self._bytes.get(device.description, 0)

    def here(self, devices: Sequence[Device]) -> int:
        """Bytes of this machine's memory: all but what lies on one of `devices` that is elsewhere, or at an address."""
        elsewhere = {name for device in devices if not device.here for name in (device.name, device.description)}
        places = (place for place in self._bytes if place not in elsewhere and (":" not in place or is_here(place)))
        return sum(self._bytes[place] for place in places)

    def freed(self, devices: Sequence[Device]) -> list[Device]:
        """The devices as they are once all of it is given back."""
        here = self.here(devices)
        return [
            device._replace(
                memory_free=None
                if device.memory_free is None
                else device.memory_free + (here if device.here else self.on(device))
            )
            for device in devices
        ]
