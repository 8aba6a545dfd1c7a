"""What somebody wants a device to do, and of what kind it is: what the rules are about."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from drivers.calls import HARMLESS, SAFE
from drivers.techniques import CurrentSequence, Galvanostatic, OpenCircuit, Technique


class Kind(StrEnum):
    """What an act does. Most acts are of several kinds, reading and the safe direction of none."""

    MOVE = "move"
    TILT = "tilt"
    """Tilt or rotation: the holder's far edge sweeps the chamber."""
    ABSOLUTE = "absolute"
    """A move to coordinates, which means nothing where the position is not known."""
    ENERGISE = "energise"
    MEASURE = "measure"
    SWITCH = "switch"
    HOME = "home"
    INSERT = "insert"
    RETRACT = "retract"
    SET = "set"


KINDS = tuple(str(kind) for kind in Kind)

#: Mode in which a tip may move although the cell is connected: small steps, with the lead watched.
APPROACH = "approach"

#: Parameters that turn the sample.
_TURNS = ("tilt_deg", "rotation_deg")

_NONE: frozenset[Kind] = frozenset()

#: Of an act that this version does not know: everything that its interface could do.
_WORST: Mapping[str, frozenset[Kind]] = {
    "stage": frozenset({Kind.MOVE, Kind.TILT, Kind.ABSOLUTE}),
    "manipulator": frozenset({Kind.MOVE, Kind.ABSOLUTE}),
    "feedthrough": frozenset({Kind.SWITCH}),
    "potentiostat": frozenset({Kind.ENERGISE}),
    "gauge": frozenset({Kind.SET}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One command, before it is sent. `arguments` are in SI, as the method takes them.

    `by` is the user or client, `run` the run that does it (empty: interactive), `mode` empty or `APPROACH`.
    """

    device: str
    interface: str
    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kinds: frozenset[Kind] = _NONE
    by: str = ""
    run: str = ""
    mode: str = ""

    @property
    def name(self) -> str:
        """As a person reads it: `stage.move_to`."""
        return f"{self.device}.{self.method}"


def kinds_of(interface: str, method: str, arguments: Mapping[str, Any]) -> frozenset[Kind]:
    """What a call of an interface does; what is not known is taken for the worst that the interface can do.

    `open_circuit` is MEASURE, not ENERGISE: no current is meant to flow, so a look at a cell in air is allowed. It is
    not nothing: the input is connected, some instruments do it as a source of 0 A, and a tip that moves meanwhile moves
    a connected cell.
    """
    if method in HARMLESS or method in SAFE or method == "capabilities":
        return _NONE
    if interface in ("stage", "manipulator"):
        return _motion(interface, method, arguments)
    if interface == "potentiostat" and method == "open_circuit":
        return frozenset({Kind.MEASURE})
    return _WORST.get(interface, frozenset(Kind))


def _motion(interface: str, method: str, arguments: Mapping[str, Any]) -> frozenset[Kind]:
    given = {name for name, value in arguments.items() if value is not None}
    if method == "move_to":
        turns = {Kind.TILT} if given.intersection(_TURNS) else set()
        return frozenset({Kind.MOVE, Kind.ABSOLUTE} | turns)
    if method == "move_by":
        turns = {Kind.TILT} if any(arguments[name] != 0 for name in given.intersection(_TURNS)) else set()
        return frozenset({Kind.MOVE} | turns)
    if method == "home":  # every axis runs to its switch; the position need not be known before
        return frozenset({Kind.MOVE, Kind.HOME} | ({Kind.TILT} if interface == "stage" else set()))
    if method in ("insert", "retract"):
        return frozenset({Kind.MOVE, Kind(method)})
    if method == "set_speed":
        return frozenset({Kind.SET})
    return _WORST[interface]


def act_of_call(
    device: str,
    interface: str,
    method: str,
    arguments: Mapping[str, Any],
    *,
    by: str = "",
    run: str = "",
    mode: str = "",
) -> Act:
    """An act out of a call by name."""
    kinds = kinds_of(interface, method, arguments)
    return Act(
        device=device,
        interface=interface,
        method=method,
        arguments=dict(arguments),
        kinds=kinds,
        by=by,
        run=run,
        mode=mode,
    )


def act_of_technique(device: str, technique: Technique, *, by: str = "", run: str = "", mode: str = "") -> Act:
    """An act out of what a potentiostat is to run."""
    values = {f.name: getattr(technique, f.name) for f in dataclasses.fields(technique)}
    return act_of_call(device, "potentiostat", technique.name, values, by=by, run=run, mode=mode)


def current_bound_a(technique: Technique) -> float:
    """The largest current that a technique may send through the cell, amperes; infinite where nothing bounds it."""
    if isinstance(technique, OpenCircuit):
        return 0.0
    if isinstance(technique, Galvanostatic):
        return abs(technique.current_a)
    if isinstance(technique, CurrentSequence):
        return max(abs(current_a) for current_a in technique.currents_a)
    limit_a: float | None = getattr(technique, "current_limit_a", None)
    return math.inf if limit_a is None else limit_a
