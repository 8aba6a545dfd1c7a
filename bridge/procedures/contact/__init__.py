"""Contact of the manipulator to the cell's pad: step, look, step, until the lead sees the cell.

The potentiostat looks at zero current: a floating lead jumps to the cell's voltage on contact. It never looks at a cell
with a bias: 0 V through even 1 GOhm would empty a nanobattery in about a second (domain.md, section 5). Where the
cell's voltage is known the lead is charged to near it first, so that its own capacitance does not empty into the cell
(100 pF from 0 to 3.6 V are 360 pC; 50 mV are 5 pC): "galvanostatic zero with a pre-charged lead", see `lead`.
"""

from __future__ import annotations

from typing import Any

from drivers.interfaces import Potentiostat
from drivers.techniques import CurrentSequence, OpenCircuit, Potentiostatic

from .. import feasibility
from ..common import check_route, manipulator_of, potentiostat_of, source_off_afterwards
from ..context import Context
from ..description import POTENTIOSTAT_AND_ROUTES, Procedure, Role
from .approach import Approach
from .parameters import MakeContact
from .safety import check_steps, prove_safe


async def run(context: Context, parameters: MakeContact) -> dict[str, Any]:
    """Where contact was made and the voltage there, or that none was found (then drawn back by `retract_m`).

    Raises `InvalidValue` and `Refused` before anything moves; `RunFailed` if the voltage cannot be read during the
    approach (it stops there, and does not go on pushing), if something else than the cell is touched, or if no contact
    lasts through the verification.
    """
    potentiostat, manipulator = potentiostat_of(context), manipulator_of(context)
    check_route(context, parameters.route)
    _check(potentiostat, parameters)
    check_steps(manipulator, parameters)
    async with source_off_afterwards(context, potentiostat):
        safety = await prove_safe(context, potentiostat, manipulator, parameters)
        return await Approach(context, potentiostat, manipulator, parameters, safety).run()


def _check(potentiostat: Potentiostat, p: MakeContact) -> None:
    feasibility.require_technique(potentiostat, OpenCircuit.name)
    senses = {"current": Potentiostatic.name, "impedance": CurrentSequence.name}
    if p.sense in senses:
        feasibility.require_technique(potentiostat, senses[p.sense])
    feasibility.require_interval(potentiostat, p.interval_s)


PROCEDURE = Procedure(
    name="make-contact",
    summary="approach the pad in steps until the potentiostat sees it, without a bias on the cell; prove the contact",
    parameters=MakeContact,
    roles={
        "manipulator": Role("manipulator"),
        **POTENTIOSTAT_AND_ROUTES,
        "stage": Role("stage", required=False),
        "gauge": Role("gauge", required=False),
    },
    run=run,
    approaches=True,
    produces={
        "verdict": "contact, or not found",
        "ocv_v": "open-circuit voltage that the lead sees",
        "contact_z_m": "where the tip first touched",
        "overshoot_m": "how far past the first touch it came to rest, at most",
        "stop_proven_s": "from the sample that told it until the tip was proven to rest",
        "contact_resistance_ohm": "of contact and cell, less the cell's own where that is given",
        "contact_charge_c": "what the lead gave to the cell as it closed",
    },
)
