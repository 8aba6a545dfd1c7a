"""`picobridge runs`, `show`, `report`, `export`, `verify` on folders, without a daemon."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.record import Description, Recorder, manifest
from tests.record.blocks import START_NS, block


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A directory with a run that passed and one that was cut off."""

    async def record() -> None:
        recorder = Recorder(tmp_path / "runs", free=lambda _: 10**12)
        for name, status in (("run-1", "finished"), ("run-2", "")):
            parameters = {"current_a": 1e-12}
            recording = await recorder.begin(Description(name, "noise-of-lead", START_NS, parameters=parameters))
            recording.add("pstat", block(0, 20))
            result = {"procedure": "noise-of-lead", "verdict": "pass", "reason": "quiet", "mean_a": 1.02e-12}
            recording.description.end(status or "failed", START_NS + 10**9, None)
            await recording.end(result)
            if not status:
                manifest.write(recording.folder, {**manifest.read(recording.folder), "complete": False})

    asyncio.run(record())
    return tmp_path / "runs"


def test_runs_lists_verdicts_and_folders(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--folder", str(runs), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(run["run"], run["verdict"], run["complete"]) for run in listed] == [
        ("run-1", "pass", True),
        ("run-2", "pass", False),
    ]
    assert listed[0]["folder"] == str(runs / "run-1_noise-of-lead")
    assert main(["runs", "--folder", str(runs), "--last", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:5] == ["run-2", "noise-of-lead", "pass", "1", "s"]


def test_no_runs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--folder", str(tmp_path)]) == 0
    assert f"no run is recorded in {tmp_path}" in capsys.readouterr().out


def test_show_says_the_numbers(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "run-1", "--folder", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert "Noise of lead  PASS\n  quiet\n" in shown
    assert "1.02 pA" in shown
    assert main(["show", "run-1", "--folder", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["mean_a"] == 1.02e-12


def test_report_makes_the_page(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run-1", "--folder", str(runs), "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["report"]).read_text()
    for text in ("Noise of lead", "1.02 pA", "quiet", "positive current charges", "data:image/png;base64,"):
        assert text in page
    assert main(["report", str(runs / "run-2_noise-of-lead")]) == 0
    assert "did not end properly" in Path(capsys.readouterr().out.strip()).read_text()
    assert main(["verify", "run-1", "--folder", str(runs)]) == 0


def test_export_prints_what_it_made(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "run-1", "--folder", str(runs), "--format", "csv"]) == 0
    assert capsys.readouterr().out == f"{runs / 'run-1_noise-of-lead' / 'pstat.bdf.csv'}\n"


def test_verify_tells_what_is_wrong(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "run-1", "--folder", str(runs)]) == 0
    raw = runs / "run-1_noise-of-lead" / "pstat.cborseq"
    raw.write_bytes(raw.read_bytes()[:-1])
    assert main(["verify", "run-1", "--folder", str(runs), "--json"]) == 1
    problems = json.loads(capsys.readouterr().out.splitlines()[-1])["problems"]
    assert any("pstat.cborseq is cut" in line for line in problems)
    assert any("cannot be read" in line for line in problems)


def test_an_unknown_run_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run-9", "--folder", str(runs)]) == 1
    assert "run 'run-9' is not recorded in" in capsys.readouterr().err
    assert main(["report", str(runs)]) == 1
    assert "is no run folder" in capsys.readouterr().err
