"""SCPI of the 2450 (reference manual 2450-901-01 section 6).

It measures one quantity and reads its source back in the same cycle. The off state belongs to the source function
(2-84), so it is set for both.
"""

from __future__ import annotations

from .dialect import Dialect, exact, measured_of, source_of, terminals
from .options import Keithley24xxOptions
from .plan import Plan
from .readings import Form, RawReading, fields, reading_2450


class Dialect2450(Dialect):
    name = "SCPI"
    wraps_at_s = None
    off = (":OUTP:CURR:SMOD HIMP", ":OUTP:VOLT:SMOD HIMP", ":OUTP OFF")
    off_proof = ((":OUTP?", ("0", "OFF")), (":OUTP:CURR:SMOD?", ("HIMP",)), (":OUTP:VOLT:SMOD?", ("HIMP",)))

    def __init__(self) -> None:
        self._form = Form(signed=False)

    def tidy(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        source, measured = source_of(plan), measured_of(plan)
        return [
            ":FORM:DATA ASC",
            ":SENS:COUN 1",
            f":SOUR:{source}:DEL 0",
            f":SENS:{measured}:UNIT {'VOLT' if plan.sources_current else 'AMP'}",
            f":SENS:{measured}:AVER OFF",
            f":SENS:{measured}:REL:STAT OFF",
            f":CALC:{measured}:MATH:STAT OFF",
            f":SENS:{measured}:AZER ON",
            ':TRAC:FILL:MODE CONT, "defbuffer1"',
            ':TRAC:CLE "defbuffer1"',
        ]

    def configure(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        source, measured = source_of(plan), measured_of(plan)
        return [
            *terminals(options),
            f":SOUR:FUNC {source}",
            f":SOUR:{source}:LEV {exact(0.0)}",
            f":SOUR:{source}:RANG {exact(plan.source_range)}",
            f":SOUR:{source}:READ:BACK ON",
            f':SENS:FUNC "{measured}"',
            f":SENS:{measured}:RSEN {'ON' if options.remote_sense else 'OFF'}",
        ]

    def limit_query(self, plan: Plan) -> str:
        return f":SOUR:{self._limit_header(plan)}?"

    def limit(self, plan: Plan, limit: float) -> str:
        return f":SOUR:{self._limit_header(plan)} {exact(limit)}"

    def limit_and_range(self, plan: Plan, limit: float, present: float) -> list[str]:
        measured = measured_of(plan)
        if plan.measure_range is None:
            return [self.limit(plan, limit), f":SENS:{measured}:RANG:AUTO ON"]
        return [self.limit(plan, limit), f":SENS:{measured}:RANG {exact(plan.measure_range)}"]

    def integration(self, plan: Plan, periods: float) -> list[str]:
        return [f":SENS:{measured_of(plan)}:NPLC {exact(periods)}"]

    def read_query(self) -> str:
        return ':READ? "defbuffer1", READ, REL, SOUR, SOURSTAT, STAT'

    def parse(self, line: str, plan: Plan) -> RawReading:
        items = fields(line, 5)
        self._form.check([items[0], items[2]])
        return reading_2450(line, current_is_sourced=plan.sources_current)

    @staticmethod
    def _limit_header(plan: Plan) -> str:
        return "CURR:VLIM" if plan.sources_current else "VOLT:ILIM"
