"""The stage back to a position that has a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from drivers.errors import InvalidValue
from drivers.interfaces import option
from drivers.plain import to_plain

from .common import Reporter
from .context import Context
from .description import Procedure
from .stage_common import ROLES, Motion, go, prove_free, stage_of
from .stage_positions import find_position


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTo(Motion):
    position: str = option("", help="name of a saved position")

    def __post_init__(self) -> None:
        Motion.__post_init__(self)
        if not self.position.strip():
            raise InvalidValue("position is empty; the name of a saved position is accepted")


async def run(context: Context, parameters: GoTo) -> dict[str, Any]:
    """All axes as they were saved. Raises `InvalidValue` and `Refused` before the stage moves, `MoveFailed`."""
    p = parameters
    stage = stage_of(context)
    target, kept = await find_position(stage.name, p.position)
    before = await stage.position()
    path = p.path(before, target, stage.capabilities.limits)
    safety = await prove_free(context, p)
    done = await go(context, path)
    reached = await stage.position()
    Reporter(context).now("arrived", 1.0, **asdict(reached))
    fields = {
        "procedure": "go-to",
        "verdict": "arrived",
        "name": p.position,
        "saved": kept,
        "before": asdict(before),
        "target": asdict(target),
        "position": asdict(reached),
        "legs": done,
        "safety": safety,
        "stage": stage.name,
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


PROCEDURE = Procedure(
    name="go-to",
    summary="move the stage to a saved position by a safe order of axes",
    parameters=GoTo,
    roles=ROLES,
    run=run,
    produces={"position": "where the stage is", "legs": "the moves, in order, with where each ended"},
)
