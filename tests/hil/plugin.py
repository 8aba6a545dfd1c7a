"""What pytest is told about the rigs, and what it tells about the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conformance.conftest import LEFT_OUT
from tests.conformance.rig import RIGS, Rig

from .rigs import TWIN


@dataclass(slots=True)
class Outcome:
    """One test on one instrument. `facts`: what it observed."""

    instrument: str
    test: str
    outcome: str
    seconds: float = 0.0
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class HilPlugin:
    """Ends the session when a cell could not be proven off on a real instrument: nothing may be connected then."""

    def __init__(self, rigs: Sequence[Rig]) -> None:
        self.rigs = rigs
        self.outcomes: list[Outcome] = []
        self.left_out: list[tuple[str, str, str]] = []
        self._by_node: dict[str, Outcome] = {}
        self._session: pytest.Session | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[RIGS] = self.rigs

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        left_out = session.config.stash.get(LEFT_OUT, [])
        self.left_out = [entry for entry in dict.fromkeys(left_out) if not entry[0].endswith(TWIN)]
        for item in session.items:
            parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
            rig = parameters.pop("rig", None)
            name = getattr(item, "originalname", item.name)
            test = f"{name}[{'-'.join(map(str, parameters.values()))}]" if parameters else name
            outcome = Outcome(rig.name if rig is not None else "", test, "not run")
            self._by_node[item.nodeid] = outcome
            self.outcomes.append(outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = self._by_node[report.nodeid]
        outcome.seconds += report.duration
        for name, value in report.user_properties if report.when == "teardown" else ():
            if name.startswith("fact:"):
                outcome.facts[name.removeprefix("fact:")] = value
        if report.failed:
            outcome.outcome = "failed"
            outcome.message += report.longreprtext
            real = outcome.instrument and not outcome.instrument.endswith(TWIN)
            if real and "CellNotOff" in report.longreprtext and self._session is not None:
                self._session.shouldstop = f"{outcome.instrument}: the cell could not be proven off"
        elif outcome.outcome == "not run" and report.when == "call":
            outcome.outcome = report.outcome
