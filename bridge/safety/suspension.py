"""Whether the computer slept: its monotonic clock stood still meanwhile, the clock since boot did not."""

from __future__ import annotations

import time
from collections.abc import Callable

#: The two clocks are read one after the other; what is less than this is no sleep.
LEAST_S = 1.0


def since_boot_s() -> float:
    """Seconds since boot, sleep among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Suspension:
    """After a sleep leases are void and what was read is old, although no time seems to have gone by."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, since_boot: Callable[[], float] = since_boot_s
    ) -> None:
        self._monotonic = monotonic
        self._since_boot = since_boot
        self._behind_s = since_boot() - monotonic()

    def slept_s(self) -> float:
        """For how long since it was asked last; 0 for not at all."""
        behind_s = self._since_boot() - self._monotonic()
        slept_s = behind_s - self._behind_s
        self._behind_s = behind_s
        return slept_s if slept_s >= LEAST_S else 0.0
