"""The stage's position kept under a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from drivers.errors import InvalidValue
from drivers.interfaces import Options, option
from drivers.plain import to_plain

from .context import Context
from .description import Procedure, Role
from .stage_common import stage_of
from .stage_positions import positions_file, save_position


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePosition(Options):
    position: str = option("", help="its name, such as lamella or grid")
    text: str = option("", help="what it is, for whoever goes there")

    def __post_init__(self) -> None:
        if not self.position.strip():
            raise InvalidValue("position is empty; a name is accepted, such as lamella")


async def run(context: Context, parameters: SavePosition) -> dict[str, Any]:
    """The position that was saved, in place of one that had the name before."""
    stage = stage_of(context)
    position = await stage.position()
    await save_position(
        stage.name,
        parameters.position,
        position,
        {"text": parameters.text, "run": context.run, "at_ns": stage.clock.time_ns()},
    )
    fields = {
        "procedure": "save-position",
        "verdict": "saved",
        "name": parameters.position,
        "position": asdict(position),
        "text": parameters.text,
        "stage": stage.name,
        "file": str(positions_file()),
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


PROCEDURE = Procedure(
    name="save-position",
    summary="keep the stage's position under a name",
    parameters=SavePosition,
    roles={"stage": Role("stage")},
    run=run,
    produces={"position": "what was saved", "name": "under this name"},
)
