"""`picobridge audit` over a real audit, whole and changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.cli.main import build_parser
from bridge.safety.acts import act_of_call
from bridge.safety.audit import Audit
from drivers.errors import InvalidValue, Refused


async def audited(folder: Path) -> None:
    audit = Audit(folder / "audit", lambda: 1_767_225_600_000_000_000)
    await audit.open()
    number = await audit.intent(act_of_call("stage", "stage", "move_to", {"tilt_deg": 52.0}, by="alice"), fence=3)
    await audit.outcome(number)
    act = act_of_call("stage", "stage", "move_to", {"tilt_deg": 60.0}, by="eve")
    await audit.outcome(await audit.intent(act), Refused("the tip is in contact"))
    await audit.close()


async def run(*words: str) -> int:
    args = build_parser("audit").parse_args(["audit", *words])
    status: int = await args.function(args)
    return status


async def test_who_wanted_what_and_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await audited(tmp_path)
    assert await run("--state", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2026-01-01T00:00:00.000+00:00      1 intent           alice" in lines[0]
    assert "stage.move_to(tilt_deg=52.0)" in lines[0]
    assert "done: record 1" in lines[1]
    assert "NOT done: record 3" in lines[3]
    assert "the tip is in contact" in lines[3]
    assert lines[4].startswith("4 records, 1 to 4, none changed or taken out")
    assert await run("--state", str(tmp_path), "--json", "--last", "1") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record.get("seq") for record in shown] == [4, None]
    assert shown[1]["broken"] is None


async def test_a_record_that_was_changed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await audited(tmp_path)
    path = tmp_path / "audit" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"alice", b"carol"))
    assert await run("--state", str(tmp_path)) == 1
    assert "BROKEN after 0 records: audit.jsonl, line 1: its hash" in capsys.readouterr().err


async def test_a_folder_without_an_audit_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="0 audits were found"):
        await run("--state", str(tmp_path))
