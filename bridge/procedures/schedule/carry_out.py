"""A schedule from its start to its result: checked, the route selected, run, the cell disconnected afterwards."""

from __future__ import annotations

from typing import Any

from drivers.errors import PicobridgeError

from ..common import DEFAULT_LATENCY_S, check_route, potentiostat_of, select_route, source_off_afterwards
from ..context import Context
from .engine import Engine
from .instrument import check_instrument
from .language import Schedule
from .parse import refuse
from .results import result_of
from .validate import check, notes


async def carry_out(
    context: Context,
    schedule: Schedule,
    procedure: str,
    *,
    route: str = "",
    tolerance: float = 0.1,
    latency_s: float = DEFAULT_LATENCY_S,
    save_every_s: float | None = None,
) -> dict[str, Any]:
    """The result, with `procedure` as its name.

    Raises `InvalidValue`, `Refused` and `Unsupported` before anything is switched; `RunFailed` and what drivers raise,
    whose `detail["partial"]` is the result so far, the step that was cut in it.
    """
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, route)
    refuse(schedule.name, check(schedule))
    of_instrument = check_instrument(potentiostat, schedule, tolerance)
    said = [*of_instrument, *notes(schedule)]
    engine = (
        Engine(context, potentiostat, schedule, latency_s=latency_s)
        if save_every_s is None
        else Engine(context, potentiostat, schedule, latency_s=latency_s, save_every_s=save_every_s)
    )
    engine.restore()
    context.describe_sample(
        area_m2=schedule.area_m2,
        stray_f=schedule.stray_f or None,
        hard_min_v=schedule.safety.voltage_min_v,
        hard_max_v=schedule.safety.voltage_max_v,
    )
    for text in of_instrument:
        context.note(text)
    try:
        async with source_off_afterwards(context, potentiostat):
            await select_route(context, potentiostat, feedthrough, route)
            await engine.run()
    except PicobridgeError as error:
        if engine.records:
            error.detail.setdefault("partial", result_of(engine, potentiostat, procedure, said))
        raise
    return result_of(engine, potentiostat, procedure, said)
