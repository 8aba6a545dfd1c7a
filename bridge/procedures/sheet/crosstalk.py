"""Do the channels hear each other through the sheet? One is excited, the others listen, before and meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import numpy as np

from drivers.interfaces import Potentiostat
from drivers.samples import SampleBlock
from drivers.techniques import Impedance, OpenCircuit

from .parameters import SheetMap
from .rig import Channel, Rig

#: three periods of it are a few seconds, in which there is time to listen
_EXCITATION_HZ = 1.0
_LISTEN_S, _INTERVAL_S = 1.0, 0.05
#: the listeners begin when the excitation has surely begun
_AFTER_S = 1.0


async def listen(rig: Rig, channels: Sequence[Channel], parameters: SheetMap) -> dict[str, Any]:
    """The first of `channels` is excited, with `amplitude_v` at 1 Hz; all are landed on cells, routes closed.

    For each other: rms of its voltage without (`quiet_v`) and with the excitation (`excited_v`), slope taken out, and
    what was added (`crosstalk_v`, root of the difference of squares, not below zero).
    """
    exciter, listeners = channels[0], channels[1:]
    found: dict[str, dict[str, float]] = {}
    bias_v = 0.0
    for channel in channels:
        volts = await _record(channel.potentiostat)
        if channel is exciter:
            bias_v = float(np.median(volts))
        else:
            found[channel.name] = {"quiet_v": _rms(volts)}
    start_s = rig.elapsed_s
    for channel in channels:
        await channel.resource.wait_until(start_s)
        rig.keeper.enter(channel.resource)

    async def excite() -> None:
        try:
            technique = Impedance(
                frequency_max_hz=_EXCITATION_HZ,
                frequency_min_hz=_EXCITATION_HZ,
                points=1,
                amplitude_v=parameters.amplitude_v,
                bias_v=round(bias_v, 6),
            )
            async with aclosing(exciter.potentiostat.run(technique)) as run:
                async for _ in run:
                    pass
        finally:
            rig.keeper.leave(exciter.resource)

    async def hear(channel: Channel) -> None:
        try:
            await channel.resource.wait_until(start_s + _AFTER_S)
            await rig.keeper.reached(channel.resource, start_s + _AFTER_S)
            found[channel.name]["excited_v"] = _rms(await _record(channel.potentiostat))
        finally:
            rig.keeper.leave(channel.resource)

    from .pipeline import together

    await together([excite(), *(hear(channel) for channel in listeners)])
    for heard in found.values():
        heard["crosstalk_v"] = math.sqrt(max(0.0, heard["excited_v"] ** 2 - heard["quiet_v"] ** 2))
    worst = max((heard["crosstalk_v"] for heard in found.values()), default=0.0)
    return {
        "excited": exciter.name,
        "frequency_hz": _EXCITATION_HZ,
        "amplitude_v": parameters.amplitude_v,
        "channels": found,
        "worst_v": worst,
        "limit_v": parameters.crosstalk_limit_v,
        "passed": worst <= parameters.crosstalk_limit_v,
        "method": "rms of 1 s of open-circuit voltage at 20 samples a second, slope taken out, beside that without the "
        "excitation, subtracted as squares",
    }


async def _record(potentiostat: Potentiostat) -> np.ndarray[Any, Any]:
    technique = OpenCircuit(duration_s=_LISTEN_S, interval_s=_INTERVAL_S)
    async with aclosing(potentiostat.run(technique)) as run:
        block = SampleBlock.concatenate([block async for block in run])
    volts: np.ndarray[Any, Any] = block["voltage_v"][np.isfinite(block["voltage_v"])]
    return volts


def _rms(volts: np.ndarray[Any, Any]) -> float:
    """About the straight line through them."""
    if len(volts) < 3:
        return math.nan
    at = np.arange(len(volts)) - (len(volts) - 1) / 2
    centred = volts - volts.mean()
    left = centred - at * (at @ centred) / (at @ at)
    return float(np.sqrt(np.mean(left**2)))
