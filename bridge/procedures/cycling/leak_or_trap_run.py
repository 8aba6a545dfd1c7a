"""The cycles of `leak-or-trap`: what is done, kept for a resume, and judged."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bridge.analysis.capacity import COULOMB_PER_AH, ah
from bridge.analysis.leak_in_rest import RestLeak, leak_from_rest, verdict_from_rest
from bridge.analysis.leak_or_trap import MODEL_SHARE, SIGMAS, CycleCharges, Verdict, verdict_from_rates
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain
from drivers.uninterrupted import to_the_end

from ..common import Reporter, instrument
from ..context import Context
from ..schedule.build import amount, per_area, when
from ..schedule.language import ConstantCurrent, Measured, OpenCircuit, Rest
from ..schedule.step_state import StepState
from .recorded_step import RecordedStep, record_step

#: Real seconds between two savings within a step.
_SAVE_S = 5.0
#: How far the lead's capacitance may be off, as a share of it.
_STRAY_SHARE = 0.1

METHOD = {
    "charge": "integral of the current until the limit, which is interpolated between two samples, less C dV of the "
    "lead; uncertainty: half a sampling interval, the latency, a tenth of C dV, and what the "
    "measured current comes to beside the set one: which of the two the cell saw is not known",
    "second-rate": "a leak (conductance times measured voltage, over time) and a trap (a share of what is put in for "
    "the first time) are each fitted to the first cycle and predict the second discharge; one that is more than "
    f"{SIGMAS:g} standard uncertainties off is rejected. The uncertainty has {MODEL_SHARE:g} of the second charge for "
    "what real cells do beside. On the same cell the second charge is what the first discharge gave back, so that "
    "nothing is put in for the first time",
    "rest": "slope of the voltage over the last half of the rest against that of the charge at the same voltage; "
    "it has to go on over the last quarter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """In SI; currents unsigned. With `first_charge_ah` the first cycle was another cell's."""

    by_rest: bool
    first_a: float
    second_a: float
    charge_limit_c: float | None
    first_charge_ah: float | None
    first_discharge_ah: float | None
    rest_s: float
    time_limit_s: float
    voltage_min_v: float
    voltage_max_v: float
    interval_s: float
    area_m2: float | None
    stray_f: float
    latency_s: float

    @property
    def earlier(self) -> bool:
        return self.first_charge_ah is not None

    @property
    def currents(self) -> tuple[float, ...]:
        """Of the cycles that are done here."""
        if self.by_rest:
            return (self.first_a,)
        return (self.second_a,) if self.earlier else (self.first_a, self.second_a)


class Experiment:
    """One run: cycles that are done, the step under way, and the verdict in the end."""

    def __init__(self, context: Context, potentiostat: Potentiostat, plan: Plan, notes: list[str]) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._plan = plan
        self._notes = notes
        self._reporter = Reporter(context)
        saved = context.saved
        #: each step that has ended, as JSON values: what the judgement needs of it
        self._steps: list[dict[str, Any]] = list(saved.get("steps", []))
        self._before = StepState.from_dict(saved["partial"]) if saved.get("partial") else None
        self._state: Callable[[], StepState] | None = None
        self._saved_at = time.monotonic()
        self._stopped = False

    async def run(self) -> None:
        kinds = ["charge", "rest", "discharge"] if self._plan.rest_s else ["charge", "discharge"]
        order = [(cycle, kind) for cycle in range(1, 1 + len(self._plan.currents)) for kind in kinds]
        for number, (cycle, kind) in enumerate(order):
            if number < len(self._steps):
                continue  # done before the run was interrupted
            await self._context.pause_point()
            await self._do(cycle, kind, number / len(order))
            if self._stopped:
                break
        self._reporter.now("stopped" if self._stopped else "done", None if self._stopped else 1.0)

    @asynccontextmanager
    async def kept_afterwards(self) -> AsyncGenerator[None, None]:
        """Left by an error or an abort, with the source off: what was done of the step under way is saved."""
        try:
            yield
        except BaseException:
            if self._state is not None:
                await to_the_end(self._save(self._state()))
            raise

    async def _do(self, cycle: int, kind: str, fraction: float) -> None:
        def show(values: dict[str, Any]) -> None:
            self._reporter.maybe(f"{kind} {cycle}", fraction, cycle=cycle, **values)

        async def keep(state: Callable[[], StepState], now: bool) -> None:
            self._state = state
            if now or time.monotonic() - self._saved_at >= _SAVE_S:
                await self._save(state())

        self._reporter.now(f"{kind} {cycle}", fraction, cycle=cycle)
        # a rest that was interrupted is begun again: its voltage was not kept
        before = None if kind == "rest" else self._before
        done = await record_step(
            self._context,
            self._potentiostat,
            self._step(cycle, kind),
            cycle=cycle,
            stray_f=self._plan.stray_f,
            latency_s=self._plan.latency_s,
            area_m2=self._plan.area_m2,
            before=before,
            progress=show,
            keep=None if kind == "rest" else keep,
        )
        self._stopped = done.result.stopped
        self._steps.append(self._told(cycle, kind, done))
        self._before = self._state = None
        await self._save(None)

    def _step(self, cycle: int, kind: str) -> Measured:
        p = self._plan
        name, number = f"{kind} {cycle}", cycle
        if kind == "rest":
            until = tuple(when("time", ">=", p.rest_s))
            cls = OpenCircuit if p.by_rest else Rest
            return cls(name=name, number=number, interval_s=p.interval_s, until=until)
        current = p.currents[cycle - 1]
        charging = kind == "charge"
        return ConstantCurrent(
            name=name,
            number=number,
            interval_s=p.interval_s,
            current=amount(current if charging else -current, "A"),
            until=(
                *when("voltage", ">=" if charging else "<=", p.voltage_max_v if charging else p.voltage_min_v),
                *when("capacity", ">=", self._charge_limit(cycle) if charging else None),
                *when("time", ">=", p.time_limit_s),
            ),
        )

    def _charge_limit(self, cycle: int) -> float | None:
        """The second charge of the same cell puts in what the first discharge took out: nothing is fresh in it."""
        if cycle == 1:
            return self._plan.charge_limit_c
        back = self._of(1, "discharge")["charge_c"]
        return float(back) if self._plan.charge_limit_c is None else min(float(back), self._plan.charge_limit_c)

    def _told(self, cycle: int, kind: str, done: RecordedStep) -> dict[str, Any]:
        p, state = self._plan, done.result.state
        sign = -1.0 if kind == "discharge" else 1.0
        stray = sign * p.stray_f * done.voltage_change_v if kind != "rest" else 0.0
        current = 0.0 if kind == "rest" else p.currents[cycle - 1]
        told_apart = abs(state.net_c) - current * state.time_s if kind != "rest" else 0.0
        doubt = math.hypot(current * (p.interval_s / 2 + p.latency_s), _STRAY_SHARE * stray, told_apart)
        told: dict[str, Any] = {
            "cycle": cycle,
            "kind": kind,
            "end": done.result.end,
            "start_time_ns": state.start_time_ns,
            "duration_s": state.time_s,
            "current_a": sign * current,
            "charge_raw_c": done.charge_c,
            "charge_c": done.charge_c - stray,
            "uncertainty_c": doubt,
            "voltage_seconds": done.voltage_seconds,
            "voltage_start_v": state.voltage_start_v,
            "voltage_end_v": state.voltage_end_v,
            "samples": state.samples,
        }
        if kind == "charge":
            told["curve"] = done.curve()
        if kind == "rest" and p.by_rest:
            told["leak"] = self._leak(done)
        plain: dict[str, Any] = to_plain(told)
        return plain

    def _leak(self, rest: RecordedStep) -> dict[str, Any] | None:
        charge = self._of(1, "charge")
        curve = np.array(charge["curve"], dtype=np.float64).reshape(-1, 2)
        found = leak_from_rest(rest.time_s, rest.voltage_v, curve[:, 0], curve[:, 1], self._plan.first_a)
        return None if found is None else asdict(found)

    def _of(self, cycle: int, kind: str) -> dict[str, Any]:
        return next((s for s in self._steps if (s["cycle"], s["kind"]) == (cycle, kind)), {})

    async def _save(self, partial: StepState | None) -> None:
        self._saved_at = time.monotonic()
        await self._context.save(steps=self._steps, partial=None if partial is None else partial.to_dict())

    # --- the result ------------------------------------------------------------------------------------------------

    def _charges(self, cycle: int) -> CycleCharges | None:
        """A cycle as the judgement sees it; None if it is not complete."""
        charge, rest, discharge = (self._of(cycle, kind) for kind in ("charge", "rest", "discharge"))
        if not charge or not discharge:
            return None
        resting = 0.0
        if rest:  # not measured, it is at the voltage that the charge has left
            resting = rest["voltage_seconds"] or rest["duration_s"] * (charge["voltage_end_v"] or 0.0)
        return CycleCharges(
            self._plan.currents[cycle - 1],
            charge["charge_c"],
            discharge["charge_c"],
            charge["voltage_seconds"] + resting,
            discharge["voltage_seconds"],
            max(charge["uncertainty_c"], discharge["uncertainty_c"]),
            rest["duration_s"] if rest else 0.0,
        )

    def _verdict(self) -> Verdict | None:
        p, last = self._plan, self._charges(len(self._plan.currents))
        if self._stopped or last is None:
            return None
        if p.by_rest:
            leak = self._of(1, "rest").get("leak")
            return None if leak is None else verdict_from_rest(RestLeak(**leak), last)
        if p.first_charge_ah is None or p.first_discharge_ah is None:
            first = self._charges(1)
            return None if first is None else verdict_from_rates(first, last)
        # of an earlier run only the charges are known: its voltage is taken to have been this one's
        charge, discharge = p.first_charge_ah * COULOMB_PER_AH, p.first_discharge_ah * COULOMB_PER_AH
        volts = last.charge_v_s * last.current_a / last.charge_c, last.discharge_v_s * last.current_a / last.discharge_c
        first = CycleCharges(
            p.first_a,
            charge,
            discharge,
            volts[0] * charge / p.first_a,
            volts[1] * discharge / p.first_a,
            last.uncertainty_c,
        )
        return verdict_from_rates(first, last, same_cell=False)

    def result(self) -> dict[str, Any]:
        p, verdict = self._plan, self._verdict()
        fields: dict[str, Any] = {
            "procedure": "leak-or-trap",
            "verdict": "undecided" if verdict is None else verdict.verdict,
            "reason": self._unfinished() if verdict is None else verdict.reason,
            "completed": verdict is not None,
            "method_used": "rest" if p.by_rest else "second-rate",
            "leak_a": None if verdict is None else verdict.leak_a,
            "leak_uncertainty_a": None if verdict is None else verdict.leak_uncertainty_a,
            "leak_at_voltage_v": None if verdict is None else verdict.at_voltage_v,
            "leak_resistance_ohm": None if verdict is None else verdict.resistance_ohm,
            "returned_share": None if verdict is None else verdict.returned_share,
            "evidence": None if verdict is None else verdict.evidence,
            "cycles": [
                self._cycle(number) for number in range(1, 1 + max((s["cycle"] for s in self._steps), default=0))
            ],
            "steps": [{k: v for k, v in step.items() if k != "curve"} for step in self._steps],
            "settings": asdict(p),
            "samples": sum(s["samples"] for s in self._steps),
            "instrument": instrument(self._potentiostat),
            "sign": "positive current charges",
            "method": METHOD,
            "notes": list(self._notes),
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain

    def _unfinished(self) -> str:
        if self._stopped:
            return "stopped before it could be told"
        return "the rest had too few samples to fit a slope: a shorter interval, or a longer rest"

    def _cycle(self, number: int) -> dict[str, Any]:
        charges = self._charges(number)
        if charges is None:
            return {"cycle": number, "ratio": None}
        return {
            "cycle": number,
            "current_a": charges.current_a,
            "current_density_a_per_m2": per_area(charges.current_a, self._plan.area_m2),
            "charge_ah": ah(charges.charge_c),
            "discharge_ah": ah(charges.discharge_c),
            "charge_ah_per_m2": per_area(ah(charges.charge_c), self._plan.area_m2),
            "discharge_ah_per_m2": per_area(ah(charges.discharge_c), self._plan.area_m2),
            "uncertainty_ah": ah(charges.uncertainty_c),
            "ratio": charges.ratio,
            "ratio_uncertainty": charges.ratio_uncertainty,
            "mean_voltage_v": charges.mean_voltage_v,
        }
