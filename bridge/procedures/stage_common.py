"""What the stage's procedures share: whether the stage may move, and a path run leg by leg, each arrival proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from bridge.analysis.formatting import si
from bridge.analysis.stage_path import ORDER, Leg, check_path, legs, parse_order
from drivers.errors import MoveFailed, Refused
from drivers.interfaces import Manipulator, Options, Stage, StagePosition, TouchAlarm, option

from .common import Reporter, choose
from .contact.touched import distance_from_contact
from .context import Context, Question
from .description import Role
from .halting import halt

ROLES: Mapping[str, Role] = {
    "stage": Role("stage"),
    "manipulator": Role("manipulator", required=False),
}

_ARMED, _BACK, _STOP = "armed", "drawn back", "do not move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion(Options):
    """How the stage goes, for every procedure that moves it."""

    order: str = option(
        ", ".join(ORDER), help="order in which the axes go; the default's reasons are in docs/contact.md"
    )
    z_down: str = option("-z", choices=("-z", "+z"), help="which way z leads away from the pole piece")
    clear_z_m: float | None = option(None, unit="m", help="go down to this z before anything else moves")
    backlash_m: float = option(100e-6, unit="m", at_least=0, help="x and y arrive from so far below; 0: straight")
    backlash_deg: float = option(2.0, unit="deg", at_least=0, help="the rotation likewise")
    touch_alarm: str = option(
        "as told",
        choices=("as told", "seen armed"),
        help="of a tool that does not tell: 'seen armed' if you have seen that it is; or you are asked",
    )
    tip: str = option(
        "as told",
        choices=("as told", "seen drawn back"),
        help="where no contact is known of: 'seen drawn back' if you have seen that it is; or you are asked",
    )
    tip_clearance_m: float = option(50e-6, unit="m", above=0, help="the tip must be so far from where it touched last")

    def __post_init__(self) -> None:
        parse_order(self.order)
        choose("z_down", self.z_down, ("-z", "+z"))

    def path(self, now: StagePosition, target: StagePosition, limits: Mapping[str, tuple[float, float]]) -> list[Leg]:
        """Raises `InvalidValue` if a point of it is outside the stage's soft limits."""
        found = legs(
            now,
            target,
            order=parse_order(self.order),
            z_down=-1 if self.z_down == "-z" else 1,
            clear_z_m=self.clear_z_m,
            backlash_m=self.backlash_m,
            backlash_deg=self.backlash_deg,
        )
        check_path(found, limits)
        return found


def stage_of(context: Context) -> Stage:
    return cast(Stage, context.device("stage"))


async def prove_free(context: Context, p: Motion) -> dict[str, Any]:
    """That nothing holds the sample and that a touch would be noticed: what was found. Raises `Refused`."""
    return {"tip": await _tip(context, p), "touch_alarm": await _alarm(context, p)}


async def _tip(context: Context, p: Motion) -> str:
    if not context.has("manipulator"):
        return "no manipulator in this run"
    manipulator = cast(Manipulator, context.device("manipulator"))
    away = distance_from_contact(manipulator.name, await manipulator.position())
    if away is not None:
        if away < p.tip_clearance_m:
            raise Refused(
                f"the tip is {si(away, 'm')} from where it made contact: a move of the stage would tear cell and tip",
                device=manipulator.name,
                hint=f"Draw the tip back by {si(p.tip_clearance_m, 'm')} or more first (tip_clearance_m).",
            )
        return f"{si(away, 'm')} from where it touched last"
    if p.tip == "seen drawn back":
        context.witnessed(manipulator.name, "contact", False, "")
        return "seen drawn back, says whoever started the run"
    answer = await context.ask(
        Question(
            f"Is the tip of {manipulator.name} drawn back from the sample? picobridge has made no contact with it, and "
            "does not know.",
            choices=(_BACK, _STOP),
        )
    )
    if answer.choice != _BACK:
        raise Refused("the tip is not drawn back", device=manipulator.name, hint="Draw it back first.")
    context.witnessed(manipulator.name, "contact", False, answer.by)
    return f"drawn back, says {answer.by or 'the operator'}"


async def _alarm(context: Context, p: Motion) -> str:
    """RemCon32 does not tell: then a person has to have seen it."""
    stage = stage_of(context)
    alarm = await stage.touch_alarm()
    if alarm in (TouchAlarm.TRIPPED, TouchAlarm.DISABLED):
        raise Refused(
            f"the touch alarm is {alarm}: nothing would stop the stage at the pole piece",
            device=stage.name,
            hint="Find out what touches."
            if alarm is TouchAlarm.TRIPPED
            else "Switch it on (specimen current monitor off, and the stage's lead off the feedthrough).",
        )
    if alarm is TouchAlarm.ARMED:
        return str(alarm)
    if p.touch_alarm == "seen armed":
        context.witnessed(stage.name, "touch_alarm", str(TouchAlarm.ARMED), "")
        return "seen armed, says whoever started the run"
    answer = await context.ask(
        Question(f"Is the touch alarm of {stage.name} armed? The tool does not tell.", choices=(_ARMED, _STOP))
    )
    if answer.choice != _ARMED:
        raise Refused("the touch alarm is not armed", device=stage.name, hint="Arm it in the microscope's program.")
    context.witnessed(stage.name, "touch_alarm", str(TouchAlarm.ARMED), answer.by)
    return f"armed, says {answer.by or 'the operator'}"


async def go(context: Context, path: Sequence[Leg]) -> list[dict[str, Any]]:
    """Leg by leg; what each was and where it ended. The stage is stopped however the path is left.

    Raises `MoveFailed` where a leg ended elsewhere; the legs after it are not begun.
    """
    stage, reporter = stage_of(context), Reporter(context)
    done: list[dict[str, Any]] = []
    for number, leg in enumerate(path):
        reporter.now(leg.why, number / len(path), **leg.axes)
        axes = {name: value % 360.0 if name == "rotation_deg" else value for name, value in leg.axes.items()}
        try:
            reached = await stage.move_to(**axes)
        except BaseException:
            await halt(context, stage)
            raise
        _prove(stage, axes, reached)
        done.append({"why": leg.why, "target": dict(axes), "reached": asdict(reached)})
    return done


def _prove(stage: Stage, axes: Mapping[str, float], reached: StagePosition) -> None:
    able = stage.capabilities
    for name, target in axes.items():
        away = abs(getattr(reached, name) - target)
        if name == "rotation_deg":
            away = min(away % 360.0, 360.0 - away % 360.0)
        unit = name.rpartition("_")[2]
        if away > (able.tolerance_deg if unit == "deg" else able.tolerance_m):
            raise MoveFailed(
                f"{name} is {getattr(reached, name):.9g} {unit} instead of {target:.9g} {unit}",
                device=stage.name,
                hint="Look into the chamber before moving on.",
                position=asdict(reached),
            )
