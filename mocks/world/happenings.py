"""What became of the rig, as the instruments themselves saw it: what was energised, moved, switched, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Happening:
    """`at_s` is monotonic, when the instrument took the bytes. `what` is "energised", "off", "moves" or "switched"."""

    at_s: float
    device: str
    what: str


@dataclass(slots=True)
class Happenings:
    """In order. `told` is called with each at once, before the instrument answers: what is true at that moment can be
    looked at then. `clock` is that of `at_s`."""

    clock: Callable[[], float] = time.monotonic
    told: Callable[[Happening], None] = lambda happening: None
    record: list[Happening] = field(default_factory=list)

    def note(self, device: str, what: str) -> None:
        happening = Happening(self.clock(), device, what)
        self.record.append(happening)
        self.told(happening)
