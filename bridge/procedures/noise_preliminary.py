"""What a noise test looks like so far, for whoever looks on; the verdict is the whole record's only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bridge.analysis.noise import NoiseSpec, assess_noise
from bridge.analysis.plain import noise_to_dict
from drivers.samples import SampleBlock

from .context import Context

#: So often, in the real time of whoever looks.
_EVERY_S = 2.0
#: Fewer averages than this make no picture.
_FEWEST = 10
#: What only the whole record decides.
_OF_THE_WHOLE = ("verdict", "passed", "decided_by", "reason")


class Preliminary:
    """The same statistics as the result's, of the record up to now."""

    def __init__(self, context: Context, spec: NoiseSpec) -> None:
        self._context = context
        self._spec = spec
        self._next_s = 0.0

    async def look(self, blocks: Sequence[SampleBlock]) -> None:
        """Shows them if it is time; in a thread, so that no sample waits."""
        if time.monotonic() < self._next_s:
            return
        elapsed_s = float(blocks[-1]["time_s"][-1])
        if not elapsed_s >= self._spec.settle_s + _FEWEST * self._spec.averaging_s:
            return
        record = SampleBlock.concatenate(blocks)
        result = await asyncio.to_thread(
            assess_noise, record["time_s"], record["current_a"], record["flags"], self._spec
        )
        told = {key: value for key, value in noise_to_dict(result).items() if key not in _OF_THE_WHOLE}
        self._context.show({"kind": "noise-test", "elapsed_s": elapsed_s, **told})
        self._next_s = time.monotonic() + _EVERY_S
