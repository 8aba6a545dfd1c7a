"""`python -m tests.fuzz`: what it says, what it keeps, when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.errors import InvalidValue

from . import __main__ as runner
from . import engine
from .engine import Examiner, Outcome, by_mutation
from .target import Target
from .targets import TARGETS


def target(run: object) -> Target:
    return Target("address", run, (InvalidValue,), ())  # type: ignore[arg-type]  # a name whose seeds are there


def test_a_finding_is_kept_once_and_as_short_as_it_was_met(tmp_path: Path) -> None:
    def stumble(data: bytes) -> None:
        if b"x" in data:
            raise KeyError("x")
        if b"y" in data:
            raise ValueError("y")

    examiner = Examiner(target(stumble), tmp_path, "test")
    for data in (b"abcx", b"1x", b"longer than that x", b"y", b"z"):
        examiner.look(data)
    assert examiner.outcome.executions == 5
    kept = {path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("address-")}
    assert kept == {b"1x", b"y"}
    assert len(examiner.outcome.findings) == 2


def test_memory_and_time_are_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examiner = Examiner(target(lambda data: bytearray(3_000_000) and None), tmp_path, "test")
    examiner.look(b"a")
    examiner.weigh(b"a")
    assert list(examiner.outcome.findings) == ["address-allocation"]
    monkeypatch.setattr(engine, "SLOW_S", -1.0)
    examiner.look(b"a")
    assert "address-slow" in examiner.outcome.findings


def test_the_engine_without_coverage_finds_what_a_changed_seed_shows(tmp_path: Path) -> None:
    def stumble(data: bytes) -> None:
        assert data.count(b"serial:") < 2

    assert by_mutation(target(stumble), 2.0, tmp_path, seed=1) == 1
    assert by_mutation(target(lambda _: None), 0.0, tmp_path, seed=1) == 0


@pytest.mark.parametrize(("findings", "code"), [({}, 0), ({"block-KeyError-1": "KeyError: 'x'"}, 1)])
def test_what_is_told(
    findings: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, seconds: float, folder: Path, seed: int) -> Outcome:
        return Outcome(name, "test", 1000, 2.0, findings)

    monkeypatch.setattr(engine, "run", run)
    assert runner.main(["--seconds", "2", "--target", "block"]) == code
    told = capsys.readouterr().out
    assert "1000 executions      500/s" in told
    assert ("found-WHAT-IT-SHOWED" in told) == bool(code)


def test_each_target_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Whichever engine is here: the stored inputs at least are looked at."""
    outcome = engine.run("inbox", 1.0, tmp_path, seed=1)
    assert outcome.executions >= len(TARGETS["inbox"].seeds())
    assert outcome.findings == {}
