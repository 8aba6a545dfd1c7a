"""What was found, as JSON and as a page to read; and what differs from the mock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .plugin import Outcome
from .rigs import TWIN

#: how much a number may differ from the mock's before it is told; times depend on distances and are not the mock's
_RELATIVE, _TIMES = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Instrument:
    """One device. `problem` says why it was not tested."""

    name: str
    driver: str
    address: str
    may: str
    identity: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """`differences`: (instrument, test, what, here, in the mock)."""

    date: str
    version: str
    configuration: str
    instruments: list[Instrument]
    outcomes: list[Outcome]
    left_out: list[tuple[str, str, str]]
    ended: str = ""
    differences: list[tuple[str, str, str, Any, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        fine = all(o.outcome == "passed" for o in self.outcomes if not o.instrument.endswith(TWIN))
        return fine and bool(self.outcomes) and not any(i.problem for i in self.instruments)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        fields = {**asdict(self), "passed": self.passed}
        (folder / "report.json").write_text(json.dumps(fields, indent=1, default=str) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.page(), encoding="utf-8")

    def page(self) -> str:
        lines = [
            f"# Hardware in the loop: {'passed' if self.passed else 'NOT passed'}",
            "",
            f"{self.date}, picobridge {self.version}, configuration `{self.configuration}`",
            "",
        ]
        if self.ended:
            lines += [f"**Ended early: {self.ended}**", ""]
        for instrument in self.instruments:
            lines += self._section(instrument)
        return "\n".join(lines) + "\n"

    def _section(self, instrument: Instrument) -> list[str]:
        who = " ".join(filter(None, (instrument.identity.get(k, "") for k in ("make", "model"))))
        lines = [
            f"## {instrument.name}: {who or instrument.driver}",
            "",
            f"driver {instrument.driver}, {instrument.address}; "
            f"serial number {instrument.identity.get('serial') or '-'}, "
            f"firmware {instrument.identity.get('firmware') or '-'}; {instrument.may}",
            "",
        ]
        if instrument.problem:
            return [*lines, f"**Not tested: {instrument.problem}**", ""]
        lines += ["| test | outcome | seconds |", "| --- | --- | --- |"]
        mine = [o for o in self.outcomes if o.instrument == instrument.name]
        lines += [f"| {o.test} | {o.outcome} | {o.seconds:.3g} |" for o in mine]
        lines += [f"| {test} | left out: {why} | |" for name, test, why in self.left_out if name == instrument.name]
        lines += [
            "",
            "Differs from the mock:" if instrument.compared else "Not compared: the mock takes other options.",
        ]
        rows = [d for d in self.differences if d[0] == instrument.name]
        if instrument.compared:
            lines += [f"- {test}, {what}: {here} here, {mock} in the mock" for _, test, what, here, mock in rows] or [
                "- nothing"
            ]
        for o in mine:
            if o.message:
                lines += ["", f"### {o.test}", "", "```", o.message.strip(), "```"]
        return [*lines, ""]


def differences(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str, Any, Any]]:
    """What a test saw on an instrument and not on its mock."""
    twins = {(o.instrument.removesuffix(TWIN), o.test): o for o in outcomes if o.instrument.endswith(TWIN)}
    found: list[tuple[str, str, str, Any, Any]] = []
    for here in outcomes:
        twin = twins.get((here.instrument, here.test))
        if twin is None:
            continue
        if here.outcome != twin.outcome:
            found.append((here.instrument, here.test, "outcome", here.outcome, twin.outcome))
        for name in here.facts.keys() & twin.facts.keys():
            if not alike(name, here.facts[name], twin.facts[name]):
                found.append((here.instrument, here.test, name, here.facts[name], twin.facts[name]))
    return sorted(found, key=lambda row: row[:3])


def alike(name: str, here: Any, mock: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (here, mock))
    if not numbers:
        return bool(here == mock)
    if name.endswith(".seconds"):
        return bool(here <= _TIMES * mock + 0.5)
    return math.isclose(here, mock, rel_tol=_RELATIVE, abs_tol=0)
