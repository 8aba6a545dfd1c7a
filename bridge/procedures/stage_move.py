"""The stage to another place, tilt or rotation, with what is under the beam kept there if so wished."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bridge.analysis.stage_geometry import StageModel, displacement, kept_in_place
from drivers.errors import InvalidValue
from drivers.interfaces import StagePosition, option
from drivers.plain import to_plain

from .common import Reporter
from .context import Context
from .description import Procedure
from .stage_common import ROLES, Motion, go, prove_free, stage_of

_AXES = ("x_m", "y_m", "z_m", "tilt_deg", "rotation_deg")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMove(Motion):
    """Axes that are not given stay, or follow the feature: see `keep`."""

    x_m: float | None = option(None, unit="m", help="absolute, in the stage's own axes")
    y_m: float | None = option(None, unit="m", help="absolute")
    z_m: float | None = option(None, unit="m", help="absolute")
    tilt_deg: float | None = option(None, unit="deg", help="absolute; 0 for the electron beam, 52 for the ion beam")
    rotation_deg: float | None = option(None, unit="deg", help="absolute")
    rotate_by_deg: float | None = option(None, unit="deg", help="relative rotation, such as 180")
    keep: str = option(
        "feature",
        choices=("feature", "axes"),
        help="feature: x, y and z follow, so that what is under the beam stays there as the stage tilts and rotates",
    )
    height_m: float = option(0.0, unit="m", help="height of the feature above the tilt axis; 0 if it is eucentric")
    keep_height: bool = option(True, help="keep the feature in focus too, by z; otherwise y alone follows the tilt")
    rotation_centre_x_m: float | None = option(None, unit="m", help="x at which the axis of rotation is under the beam")
    rotation_centre_y_m: float | None = option(None, unit="m", help="y at which it is")
    tilt_sense: int = option(1, help="-1 on a tool whose tilt counts the other way round")
    rotation_sense: int = option(1, help="-1 on a tool whose rotation counts the other way round")

    def __post_init__(self) -> None:
        Motion.__post_init__(self)
        if all(getattr(self, name) is None for name in (*_AXES, "rotate_by_deg")):
            raise InvalidValue(f"nothing to move is given; accepted: {', '.join((*_AXES, 'rotate_by_deg'))}")
        if self.rotation_deg is not None and self.rotate_by_deg is not None:
            raise InvalidValue("rotation_deg and rotate_by_deg are both given; one of them is accepted")
        for name in ("tilt_sense", "rotation_sense"):
            if getattr(self, name) not in (1, -1):
                raise InvalidValue(f"{name} is {getattr(self, name)}; accepted: 1, -1")

    def target(self, now: StagePosition) -> StagePosition:
        """Raises `InvalidValue` if the axis of rotation would have to be known and is not."""
        given = {name: getattr(self, name) for name in _AXES if getattr(self, name) is not None}
        if self.rotate_by_deg is not None:
            given["rotation_deg"] = now.rotation_deg + self.rotate_by_deg
        if self.keep == "axes":
            return replace(now, **given)
        turns = abs(given.get("rotation_deg", now.rotation_deg) - now.rotation_deg) > 1e-9
        if turns and (self.rotation_centre_x_m is None or self.rotation_centre_y_m is None):
            raise InvalidValue(
                "rotation_centre_x_m and rotation_centre_y_m are not given: without them a rotation cannot keep the "
                "feature under the beam",
                hint="Find them: the position at which a feature stays under the beam as the stage rotates. "
                "Or keep 'axes', to rotate in place and look for the feature afterwards.",
            )
        kept = kept_in_place(
            self.model,
            now,
            tilt_deg=given.get("tilt_deg"),
            rotation_deg=given.get("rotation_deg"),
            height_m=self.height_m,
            keep_height=self.keep_height,
        )
        return replace(kept, **given)

    @property
    def model(self) -> StageModel:
        return StageModel(
            rotation_centre_x_m=self.rotation_centre_x_m or 0.0,
            rotation_centre_y_m=self.rotation_centre_y_m or 0.0,
            tilt_sense=self.tilt_sense,
            rotation_sense=self.rotation_sense,
        )


async def run(context: Context, parameters: StageMove) -> dict[str, Any]:
    """Where the stage was, went and is. Raises `InvalidValue` and `Refused` before it moves, `MoveFailed`."""
    p = parameters
    stage = stage_of(context)
    before = await stage.position()
    target = p.target(before)
    path = p.path(before, target, stage.capabilities.limits)
    safety = await prove_free(context, p)
    done = await go(context, path)
    reached = await stage.position()
    Reporter(context).now("arrived", 1.0, **asdict(reached))
    shift = displacement(p.model, before, reached, p.height_m)
    fields = {
        "procedure": "stage-move",
        "verdict": "arrived",
        "before": asdict(before),
        "target": asdict(target),
        "position": asdict(reached),
        "legs": done,
        "keep": p.keep,
        "feature_moved_m": list(shift),
        "safety": safety,
        "stage": stage.name,
        "method": {
            "feature_moved_m": "x, y across and z along the beam, of what was under it before, from the stage's own "
            "readings and the geometry of bridge/analysis/stage_geometry.py; the sample's drift is not in it",
            "position": "read after the last leg; each leg's arrival is proven within the stage's tolerance",
        },
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


PROCEDURE = Procedure(
    name="stage-move",
    summary="move, tilt or rotate the stage by a safe order of axes, with the feature kept under the beam",
    parameters=StageMove,
    roles=ROLES,
    run=run,
    produces={
        "position": "where the stage is",
        "feature_moved_m": "how far what was under the beam is from there",
        "legs": "the moves, in order, with where each ended",
    },
)
