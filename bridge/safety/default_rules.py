"""The rules that every rig has, as far as it has the devices that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.analysis.formatting import si
from drivers.interfaces.feedthrough import OPEN

from .acts import Kind
from .cell_conditions import AtRest, CellsOff, ZeroCurrent
from .condition import Condition
from .conditions import SteadyBelow
from .interlock_options import CHAMBER, InterlockOptions
from .motion_conditions import (
    Identified,
    Never,
    PositionKnown,
    RouteIs,
    RouteIsNot,
    SoleMover,
    TipClear,
    TouchAlarmArmed,
    WithinLimits,
)
from .rules import Absent, Overriding, Rule, RuleSet

#: What they are called, in the order in which they are told; `off` in a configuration may name any of them.
DEFAULT_RULES = (
    "identity",
    "tip-clear",
    "touch-alarm",
    "lead-off-stage",
    "relays-open",
    "zero-current",
    "cell-off",
    "at-rest",
    "vacuum",
    "limits",
    "position-known",
    "sole-mover",
)

_MOVERS = ("stage", "manipulator", "feedthrough")


@dataclass(frozen=True, slots=True)
class RigDevice:
    """A configured device, as far as the rules go."""

    name: str
    interface: str


def groups_of(devices: Sequence[RigDevice], options: InterlockOptions) -> dict[str, tuple[str, ...]]:
    """The groups of a rig, name to devices: one lease each, and one mover. What is in none is alone."""
    if options.groups is not None:
        return dict(options.groups)
    members = tuple(device.name for device in devices if device.interface in _MOVERS)
    return {CHAMBER: members} if members else {}


def default_rules(devices: Sequence[RigDevice], options: InterlockOptions) -> RuleSet:
    """The rule set of a rig: these rules, those of its configuration, and what is left out and why."""
    return _Builder(devices, options).build()


class _Builder:
    def __init__(self, devices: Sequence[RigDevice], options: InterlockOptions) -> None:
        self._options = options
        self._limits = options.thresholds
        self._groups = groups_of(devices, options)
        by_interface: dict[str, tuple[str, ...]] = {}
        for device in devices:
            by_interface[device.interface] = (*by_interface.get(device.interface, ()), device.name)
        self._stages = by_interface.get("stage", ())
        self._tips = by_interface.get("manipulator", ())
        self._feedthroughs = by_interface.get("feedthrough", ())
        self._cells = by_interface.get("potentiostat", ()) if options.cells is None else options.cells
        self._gauges = by_interface.get("gauge", ()) if options.gauges is None else options.gauges
        self._rules: list[Rule] = []
        self._absent: list[Absent] = []
        self._notices: list[str] = []

    def build(self) -> RuleSet:
        self._add("identity", "no command to a device that is not the configured one", Identified())
        self._stage()
        self._feedthrough()
        self._moves_with_cell_off()
        self._source()
        self._motion()
        rules = [replace(rule, off=self._off(rule.id)) for rule in self._rules]
        self._notices += [
            f"The rule {rule.id} is switched off by the configuration: {rule.text}." for rule in rules if rule.off
        ]
        return RuleSet((*rules, *self._options.own), tuple(self._absent), tuple(self._notices))

    def _off(self, id: str) -> str:
        off = any(id == name or id.startswith(f"{name}-") for name in self._options.off)
        return "switched off by the configuration" if off else ""

    def _add(
        self,
        id: str,
        text: str,
        requires: Condition,
        *,
        needs: Mapping[str, Sequence[str]] | None = None,
        kinds: Sequence[Kind] = (),
        interfaces: Sequence[str] = (),
        devices: Sequence[str] = (),
        on_violation: str = "refuse",
        lasts: bool = False,
        grace_s: float = 0.0,
        override: Overriding | None = None,
    ) -> None:
        """`needs`: what has to be configured, in words, with the devices that are it; none: the rule is left out."""
        missing = [what for what, found in (needs or {}).items() if not found]
        if missing:
            self._absent.append(Absent(id, text, f"not applicable: no {' and no '.join(missing)}"))
            return
        self._rules.append(
            Rule(
                id=id,
                text=text,
                requires=requires,
                kinds=frozenset(kinds),
                interfaces=frozenset(interfaces),
                devices=frozenset(devices),
                max_age_s=self._limits.max_age_s,
                on_violation=on_violation,
                lasts=lasts,
                grace_s=grace_s,
                override=override,
            )
        )

    # --- the chamber ------------------------------------------------------------------------------------------------

    def _stage(self) -> None:
        stage = {"stage": self._stages}
        self._add(
            "tip-clear",
            "no stage move while the tip is inserted or in contact",
            TipClear(manipulators=self._tips),
            needs=stage | {"manipulator": self._tips},
            kinds=(Kind.MOVE,),
            interfaces=("stage",),
            on_violation="stop",
            lasts=True,
        )
        self._add(
            "touch-alarm",
            "no stage move unless the touch alarm is armed and has not tripped",
            TouchAlarmArmed(),
            needs=stage,
            kinds=(Kind.MOVE,),
            interfaces=("stage",),
            on_violation="stop",
            lasts=True,
        )
        self._lead_off_stage()
        self._add(
            "relays-open",
            f"no stage move unless the feedthrough is at {OPEN!r}",
            RouteIs(feedthroughs=self._feedthroughs, routes=(OPEN,)),
            needs=stage | {"feedthrough": self._feedthroughs},
            kinds=(Kind.MOVE,),
            interfaces=("stage",),
            on_violation="stop",
            lasts=True,
            override=Overriding("administrator", 120.0),
        )

    def _lead_off_stage(self) -> None:
        text = "no tilt or rotation while the cell's lead uses the stage's ground"
        if self._limits.lead_on_stage:
            self._notices.append("A lead of the cell is wired to the stage (lead_on_stage): the stage does not tilt.")
            wired: Condition = Never(
                because="a lead of the cell is wired to the stage by hand, says the configuration",
                needs="take the lead off the stage, and lead_on_stage out of the configuration",
            )
        else:
            wired = RouteIsNot(feedthroughs=self._feedthroughs, routes=self._options.stage_ground)
        known = self._feedthroughs or (("by hand",) if self._limits.lead_on_stage else ())
        self._add(
            "lead-off-stage",
            text,
            wired,
            needs={"stage": self._stages, "feedthrough": known},
            kinds=(Kind.TILT,),
            interfaces=("stage",),
            on_violation="stop",
            lasts=True,
        )

    def _feedthrough(self) -> None:
        zero_a = self._limits.zero_current_a
        self._add(
            "zero-current",
            f"the feedthrough is switched with the cell off, or below {si(zero_a, 'A')}",
            ZeroCurrent(cells=self._cells, zero_a=zero_a, cell_max_age_s=self._limits.cell_max_age_s),
            needs={"feedthrough": self._feedthroughs, "potentiostat": self._cells},
            kinds=(Kind.SWITCH,),
            interfaces=("feedthrough",),
        )

    def _moves_with_cell_off(self) -> None:
        limits = self._limits
        movers = (*self._stages, *self._tips)
        self._add(
            "cell-off",
            "no move of tip or stage with the cell on, but the tip's in mode approach: steps of at most "
            f"{si(limits.approach_step_m, 'm')}, at most {si(limits.approach_current_a, 'A')}, samples coming",
            CellsOff(
                cells=self._cells,
                approach_step_m=limits.approach_step_m,
                approach_current_a=limits.approach_current_a,
                cell_max_age_s=limits.cell_max_age_s,
            ),
            needs={"stage or manipulator": movers, "potentiostat": self._cells},
            kinds=(Kind.MOVE,),
            interfaces=("manipulator", "stage"),
            on_violation="stop",
            lasts=True,
        )

    # --- the source -------------------------------------------------------------------------------------------------

    def _source(self) -> None:
        movers = (*self._stages, *self._tips, *self._feedthroughs)
        self._add(
            "at-rest",
            "the cell is not connected while stage or tip move, or the feedthrough switches",
            AtRest(devices=movers),
            needs={"potentiostat": self._cells, "stage, manipulator or feedthrough": movers},
            kinds=(Kind.ENERGISE, Kind.MEASURE),
            devices=self._cells,
        )
        limits = self._limits
        on, off = si(limits.vacuum_pa, "Pa"), si(limits.vacuum_off_pa, "Pa")
        text = f"the source is on in vacuum only: {limits.vacuum_readings} readings of at most {on}, none above {off}"
        if limits.vacuum == "not_required" and self._gauges and self._cells:
            self._absent.append(Absent("vacuum", text, 'switched off by the configuration: vacuum = "not_required"'))
            self._notices.append(
                'The source may be switched on in AIR: the configuration says vacuum = "not_required". For the noise '
                "test of the cathode's side, which may be done vented; not for a cell."
            )
            return
        self._vacuum(text)

    def _vacuum(self, text: str) -> None:
        limits = self._limits
        for gauge in self._gauges or ("",):
            self._add(
                "vacuum" if len(self._gauges) < 2 else f"vacuum-{gauge}",
                text if len(self._gauges) < 2 else f"{text}, by {gauge}",
                SteadyBelow(
                    input=f"{gauge}.pressure_pa",
                    on_at_most=limits.vacuum_pa,
                    off_above=limits.vacuum_off_pa,
                    readings=limits.vacuum_readings,
                    max_gap_s=limits.max_age_s,
                ),
                needs={"potentiostat": self._cells, "gauge": self._gauges},
                kinds=(Kind.ENERGISE,),
                devices=self._cells,
                on_violation="safe_state",
                lasts=True,
                grace_s=limits.vacuum_grace_s,
                override=Overriding("administrator", 600.0),
            )

    # --- every mover ------------------------------------------------------------------------------------------------

    def _motion(self) -> None:
        movers = (*self._stages, *self._tips)
        needs = {"stage or manipulator": movers}
        self._add(
            "limits",
            "no axis moves beyond its soft limits",
            WithinLimits(),
            needs=needs,
            kinds=(Kind.MOVE,),
            interfaces=("stage", "manipulator"),
        )
        self._add(
            "position-known",
            "no move to coordinates while the position is not known",
            PositionKnown(),
            needs=needs,
            kinds=(Kind.ABSOLUTE,),
            interfaces=("stage", "manipulator"),
        )
        several = {name: members for name, members in self._groups.items() if len(members) > 1}
        if not several:
            self._add("sole-mover", "one mover of a group at a time", SoleMover(devices=()), needs={"group": ()})
        for name, members in several.items():
            self._add(
                "sole-mover" if len(several) == 1 else f"sole-mover-{name}",
                f"one mover of the group {name} at a time: {', '.join(members)}",
                SoleMover(devices=members),
                kinds=(Kind.MOVE, Kind.SWITCH),
                devices=members,
            )
