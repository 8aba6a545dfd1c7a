"""After a stop for a short: what next is the operator's to say, and what is said is kept.

The paper's way back is to clean the cross-section again (re-deposition bridges the electrodes), which makes it smaller:
the current is corrected, so that the current density stays. Ions leave a damaged layer of up to 25 nm on each surface
(domain note, section 1.1), which does not count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.analysis.formatting import si
from bridge.analysis.geometry import effective_area_m2
from drivers.errors import HealthStop
from drivers.interfaces import Options, option

from .context import Context, Question

T = TypeVar("T")

CLEANED, GIVE_UP, REGARDLESS = "cleaned again", "give up", "go on regardless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Options):
    """The cross-section after cleaning, as it is measured in the image."""

    length_m: float = option(unit="m", above=0.0, help="length of the active section, such as 4.6 um")
    width_m: float = option(unit="m", above=0.0, help="its width, such as 1.8 um")
    damage_m: float = option(0.0, unit="m", at_least=0.0, help="damaged layer on each surface, a few nm to 25 nm")

    def __post_init__(self) -> None:
        effective_area_m2(self.length_m, self.width_m, self.damage_m, field="damage_m")

    @property
    def area_m2(self) -> float:
        """Without the damaged layers."""
        return effective_area_m2(self.length_m, self.width_m, self.damage_m)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was decided after a short, by whom and when; the area and the current from then on.

    Where the cell was cleaned again, `current_a` is scaled with the area. None: not known before either.
    """

    choice: str
    area_m2: float | None
    current_a: float | None
    by: str
    at_ns: int
    finding: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "choice": self.choice,
            "area_m2": self.area_m2,
            "current_a": self.current_a,
            "by": self.by,
            "at_ns": self.at_ns,
            "finding": self.finding,
        }


def is_short(stop: HealthStop) -> bool:
    """Whether it was a short that the watch has stopped for."""
    return str(stop.detail.get("finding", {}).get("kind", "")) in ("short", "partial_short")


async def after_short(
    context: Context, stop: HealthStop, *, area_m2: float | None = None, current_a: float | None = None
) -> Recovery:
    """Ask the operator what next. The source is off already.

    Raises `stop` again if it is no short, or if the operator gives up.
    """
    if not is_short(stop):
        raise stop
    finding = dict(stop.detail["finding"])
    before = "" if area_m2 is None else f" The area so far was {area_m2 * 1e12:.4g} um2."
    answer = await context.ask(
        Question(
            f"The run was stopped: {stop.message}. Clean the cross-section again and say so, give up, or go on "
            f"regardless.{before} The cell is disconnected.",
            choices=(CLEANED, GIVE_UP, REGARDLESS),
            details={"finding": finding, "area_m2": area_m2, "current_a": current_a},
        )
    )
    who = answer.by or "the operator"
    if answer.choice == GIVE_UP:
        context.note(f"{who} gave up after the short", finding=finding)
        raise stop
    if answer.choice == REGARDLESS:
        context.note(f"{who} goes on regardless of the short: {stop.message}", finding=finding, by=who)
        return Recovery(REGARDLESS, area_m2, current_a, answer.by, answer.at_ns, finding)
    measured = await context.ask(
        Question("Length and width of the section after cleaning?", choices=("done",), fields=Section)
    )
    section: Section = measured.values
    corrected = current_a
    if current_a is not None and area_m2:
        corrected = current_a * section.area_m2 / area_m2
    told = f"cleaned again by {measured.by or who}: {section.area_m2 * 1e12:.4g} um2"
    if corrected is not None:
        told += f", {si(corrected, 'A')}"
    context.note(told, area_m2=section.area_m2, current_a=corrected)
    return Recovery(CLEANED, section.area_m2, corrected, measured.by, measured.at_ns, finding)


async def through_shorts(
    context: Context,
    attempt: Callable[[float | None, float | None], Awaitable[T]],
    *,
    area_m2: float | None = None,
    current_a: float | None = None,
) -> tuple[T, list[Recovery]]:
    """`attempt(area_m2, current_a)`, again after each short with what the operator says then; and what was said.

    Raises `HealthStop` when it was no short or the operator gives up, and whatever else `attempt` raises.
    """
    recoveries: list[Recovery] = []
    while True:
        try:
            return await attempt(area_m2, current_a), recoveries
        except HealthStop as stop:
            recovery = await after_short(context, stop, area_m2=area_m2, current_a=current_a)
        recoveries.append(recovery)
        area_m2, current_a = recovery.area_m2, recovery.current_a
