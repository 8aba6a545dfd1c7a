"""SCPI as the 2400 family, the 6430 and a 2450 switched to "SCPI 2400" speak it (2400 user's manual section 18)."""

from __future__ import annotations

from .dialect import Dialect, exact, measured_of, source_of, terminals
from .options import Keithley24xxOptions
from .plan import Plan
from .readings import Form, RawReading, fields, reading_2400


class Dialect2400(Dialect):
    name = "SCPI 2400"
    wraps_at_s = 100_000.0
    off = (":OUTP:SMOD HIMP", ":OUTP OFF")
    off_proof = ((":OUTP?", ("0", "OFF")), (":OUTP:SMOD?", ("HIMP",)))

    def __init__(self) -> None:
        self._form = Form(signed=True)

    def tidy(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        source = source_of(plan)
        return [
            f":SOUR:{source}:MODE FIX",
            ":SOUR:CLE:AUTO OFF",
            ":SOUR:DEL 0",
            ":TRAC:FEED:CONT NEV",
            ":ARM:SOUR IMM",
            ":ARM:COUN 1",
            ":TRIG:SOUR IMM",
            ":TRIG:COUN 1",
            ":TRIG:DEL 0",
            ":SENS:AVER OFF",
            ":CALC:STAT OFF",
            ":CALC2:NULL:STAT OFF",
            ":SYST:AZER ON",
            ":FORM:DATA ASC",
            ":SYST:TIME:RES",
        ]

    def configure(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        source = source_of(plan)
        return [
            *terminals(options),
            f":SYST:RSEN {'ON' if options.remote_sense else 'OFF'}",
            f":SOUR:FUNC {source}",
            f":SOUR:{source}:LEV {exact(0.0)}",
            f":SOUR:{source}:RANG {exact(plan.source_range)}",
            ":SENS:FUNC:CONC ON",
            ":SENS:FUNC 'VOLT','CURR'",
            ":FORM:ELEM VOLT,CURR,RES,TIME,STAT",
        ]

    def limit_query(self, plan: Plan) -> str:
        return f":SENS:{measured_of(plan)}:PROT?"

    def limit(self, plan: Plan, limit: float) -> str:
        return f":SENS:{measured_of(plan)}:PROT {exact(limit)}"

    def limit_and_range(self, plan: Plan, limit: float, present: float) -> list[str]:
        """The measuring range may not be wider than the compliance (error 824; 2400 manual 18-62 note 3), and the
        compliance not below 0.1 % of the measuring range (error 822): going up the limit comes first, going down last.
        The range of the sourced quantity follows the source's and cannot be set (18-62 note 1)."""
        measured = measured_of(plan)
        set_limit = self.limit(plan, limit)
        if plan.measure_range is None:
            return [f":SENS:{measured}:RANG:AUTO ON", set_limit]
        set_range = f":SENS:{measured}:RANG {exact(plan.measure_range)}"
        return [set_limit, set_range] if limit >= present else [set_range, set_limit]

    def integration(self, plan: Plan, periods: float) -> list[str]:
        return [f":SENS:{function}:NPLC {exact(periods)}" for function in ("VOLT", "CURR")]

    def read_query(self) -> str:
        return ":READ?"

    def parse(self, line: str, plan: Plan) -> RawReading:
        self._form.check(fields(line, 5))
        return reading_2400(line)
