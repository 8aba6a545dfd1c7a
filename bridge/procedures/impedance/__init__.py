"""The procedure `impedance`: a spectrum, and what may be said of it."""

from __future__ import annotations

from typing import Any

from ..context import Context
from ..description import POTENTIOSTAT_AND_ROUTES, Procedure
from .parameters import MeasureImpedance


async def _run(context: Context, parameters: MeasureImpedance) -> dict[str, Any]:
    from .measuring import measure_impedance  # scipy: not when the command line only lists its commands

    return await measure_impedance(context, parameters)


PROCEDURE = Procedure(
    name="impedance",
    summary="impedance spectrum, by the device or by the host: is it sound, what of it is the cable, which circuit",
    parameters=MeasureImpedance,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=_run,
    produces={
        "verdict": "pass, doubtful or fail (Kramers-Kronig, drift, linearity, noise), or short or open",
        "z_real_ohm": "the spectrum, with z_imag_ohm and frequency_hz",
        "cable": "from which frequency on it is the cable's",
        "fit": "circuit with 95 % intervals, or in fit_reason why there is none",
    },
)
