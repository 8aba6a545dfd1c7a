"""The one table of procedures. A new experiment is a module with a `PROCEDURE`, and one entry here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from drivers.errors import InvalidValue

from .description import Procedure

#: Modules of this package. A module that needs long to import (scipy, matplotlib) does so when it is run.
_MODULES = (
    "planner",
    "noise_test",
    "noise_survey",
    "current_check",
    "cycle",
    "cycling.leak_or_trap",
    "contact",
    "stage_move",
    "stage_save",
    "stage_go",
    "open_circuit",
    "rest",
    "constant_current",
    "constant_voltage",
    "cc_cv",
    "gitt",
    "dc_resistance",
    "cyclic_voltammetry",
    "schedule.procedure",
    "impedance",
    "impedance.open_lead",
    "short_test",
    "protocol",
    "sheet",
)


def _described(module: str) -> Procedure:
    procedure = import_module(f".{module}", __package__).PROCEDURE
    assert isinstance(procedure, Procedure)
    return procedure


PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {procedure.name: procedure for procedure in map(_described, _MODULES)}
)


def find(name: str) -> Procedure:
    """Raises `InvalidValue` naming the procedures there are."""
    if name not in PROCEDURES:
        raise InvalidValue(f"procedure {name!r} is not known; accepted: {', '.join(PROCEDURES)}")
    return PROCEDURES[name]
