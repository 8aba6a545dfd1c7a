"""What a run has saved: kept over failures and restarts, given back to whom it belongs, once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.journal import Journal
from bridge.daemon.state import State
from bridge.procedures.context import Context
from bridge.procedures.description import Procedure, Role
from drivers.errors import InvalidValue, RunFailed
from drivers.interfaces import Options, option

from .conftest import Rig, RigMaker, eventually
from .state_file import resumable_runs, runs_under_way

ROLES = {"potentiostat": Role("potentiostat")}
PSTAT = {"potentiostat": "pstat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Until(Options):
    until: int = option(3, help="it fails at this turn of a fresh run", at_least=0)
    current_a: float | None = option(None, unit="A", help="a quantity")


async def counts(context: Context, parameters: Until) -> dict[str, Any]:
    """Five turns; a fresh one fails on its way."""
    turn = int(context.saved.get("turn", 0))
    fresh = turn == 0
    while turn < 5:
        context.progress(f"turn {turn}", turn / 5)
        if fresh and turn == parameters.until:
            raise RunFailed("as it was told to")
        turn += 1
        await context.save(turn=turn)
    return {"fresh": fresh, "current_a": parameters.current_a}


async def twice(context: Context, parameters: Until) -> dict[str, Any]:
    """The same part twice under one title: what the first had saved is not the second's."""
    first = await context.perform("counts", {"until": parameters.until})
    second = await context.perform("counts", {"until": 9})
    return {"first": first["fresh"], "second": second["fresh"]}


async def again(context: Context, parameters: Until) -> dict[str, Any]:
    """A part that failed is performed once more: it goes on."""
    try:
        await context.perform("counts", {"until": 2})
    except RunFailed as error:
        context.note(f"{error.operation} failed")
    return dict(await context.perform("counts", {"until": 2}))


async def moves(context: Context, parameters: Until) -> dict[str, Any]:
    return dict(await context.perform("moves-something", {}))


async def waits(context: Context, parameters: Until) -> dict[str, Any]:
    await context.save(step=len(context.saved))
    await asyncio.Event().wait()
    return {}


OWN = (
    Procedure("counts", "counts", Until, ROLES, counts, resumable=True),
    Procedure("twice", "counts twice", Until, ROLES, twice, resumable=True),
    Procedure("again", "tries again", Until, ROLES, again, resumable=True),
    Procedure("forgets", "cannot be resumed, though its part saves", Until, ROLES, twice),
    Procedure("waits", "waits", Until, ROLES, waits, resumable=True),
    Procedure("moves", "needs more than it has", Until, ROLES, moves),
    Procedure("moves-something", "moves", Until, {"stage": Role("stage")}, waits),
)


async def begin(r: Rig, procedure: str, **parameters: Any) -> str:
    answer = await r.request("run", procedure=procedure, parameters=parameters, devices=PSTAT)
    return str(answer["run"])


async def outcome_of(r: Rig, run: str) -> Any:
    return await r.listener.json(f"{r.prefix}/runs/{run}/result")


async def resumed(r: Rig, run: str) -> Any:
    again = await r.request("resume", run=run)
    return await outcome_of(r, again["run"])


async def test_a_failed_run_goes_on_with_its_parameters_as_they_were_given(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "counts", until=2, current="3 pA")
        outcome = await outcome_of(r, run)
        assert (outcome["status"], outcome["resumable"], outcome["resumed_by"]) == ("failed", True, None)
        after = await resumed(r, run)
        assert after["result"] == {"fresh": False, "current_a": 3e-12}
        assert after["resumes"] == run
        (old,) = [state for state in await r.request("runs") if state["run"] == run]
        assert (old["resumable"], old["resumed_by"]) == (False, after["run"])
        await r.listener.json(f"{r.prefix}/runs/{run}/state", lambda state: state["resumed_by"] == after["run"])


async def test_nothing_saved_is_nothing_to_go_on_from(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "counts", until=0)
        assert (await outcome_of(r, run))["resumable"] is False
        with pytest.raises(InvalidValue, match="had saved nothing, or is not known; accepted: none"):
            await r.request("resume", run=run)


async def test_the_second_part_of_a_title_begins_from_the_start(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "twice", until=3)
        outcome = await outcome_of(r, run)
        assert outcome["status"] == "failed"
        assert outcome["error"]["operation"] == "counts"  # whose error it is
        assert (await resumed(r, run))["result"] == {"first": False, "second": True}


async def test_a_failed_part_performed_again_goes_on(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        outcome = await outcome_of(r, await begin(r, "again"))
        assert outcome["result"]["fresh"] is False
        assert [part["status"] for part in outcome["parts"]] == ["failed", "finished"]


async def test_what_cannot_be_resumed_keeps_nothing(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(procedures=OWN) as r:
        outcome = await outcome_of(r, await begin(r, "forgets", until=3))
        assert (outcome["status"], outcome["resumable"]) == ("failed", False)
        assert resumable_runs(tmp_path / "state") == {}


async def test_a_part_needs_its_devices(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        error = (await outcome_of(r, await begin(r, "moves")))["error"]
        assert error["error"] == "InvalidValue"
        assert error["message"].startswith("moves-something needs a stage in the role stage, and run ")
        assert r.device("stage").done == ["stop", "identify"]


async def test_ended_runs_can_be_gone_on_with_after_a_restart(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        failed = await begin(r, "counts", until=4)
        await outcome_of(r, failed)
        answer = await r.request("run", procedure="waits", devices=PSTAT, watch=False)
        aborted = answer["run"]
        await r.listener.json(f"{r.prefix}/runs/{aborted}/state")
        await r.request("abort", run=aborted)
    async with rig(procedures=OWN) as r:
        earlier = {state["run"]: state for state in await r.request("runs")}
        assert {run: (s["status"], s["resumable"]) for run, s in earlier.items()} == {
            failed: ("failed", True),
            aborted: ("aborted", True),
        }
        assert earlier[failed]["error"]["message"] == "as it was told to"
        again = (await r.request("resume", run=aborted))["run"]
        state = await r.listener.json(f"{r.prefix}/runs/{again}/state")
        assert state["health"]["enabled"] is False  # the watch is as it was asked for
        await r.listener.json(f"{r.prefix}/runs/{aborted}/state", lambda state: state["resumed_by"] == again)
        await r.request("abort", run=again)
        assert (await resumed(r, failed))["result"]["fresh"] is False


async def test_a_name_is_used_once(rig: RigMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though the daemon is started again within the second of a run."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Stopped:
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr("bridge.daemon.runs.datetime", Stopped)
    names = []
    for _ in range(3):
        async with rig(procedures=OWN, data_dir=tmp_path / "runs", exports=False) as r:
            names.append(await begin(r, "counts", until=2))
            await outcome_of(r, names[-1])
            names.append(await begin(r, "counts", until=9))  # of which only the record is kept
            await outcome_of(r, names[-1])
    assert names == [f"20260102-030405-{number}" for number in range(1, 7)]


async def test_a_journal_of_an_older_version_is_read(rig: RigMaker, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    entry = {"procedure": "cycle", "parameters": {"area_m2": 1e-11}, "devices": PSTAT, "started_ns": 5}
    (state / "runs.json").write_text(json.dumps({"20260101-000000-1": entry}))
    async with rig(procedures=OWN) as r:
        # its source is off, and the journal has done with it (what was said of that, nobody may have heard yet)
        await eventually(lambda: runs_under_way(state) == {})
        assert [path.name for path in state.glob("*.json*")] == ["runs.json.imported"]
        (left,) = await r.request("runs")
        assert (left["status"], left["resumable"], left["started_ns"]) == ("interrupted", False, 5)
        assert "cell_off" in r.device("pstat").done or "off" in r.device("pstat").done


async def test_old_runs_make_place_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.daemon.journal.KEPT", 3)
    state = State(tmp_path)
    await state.open()
    try:
        journal = Journal(state)
        await journal.open()
        for number in range(5):
            await journal.begin(f"run-{number}", {"procedure": "counts"})
            await journal.save(f"run-{number}", [[[], {"turn": number}]])
            await journal.keep(f"run-{number}", {"saved": number})
            await journal.end(f"run-{number}")
    finally:
        await state.close()
    state = State(tmp_path)
    await state.open()
    try:
        journal = Journal(state)
        assert await journal.open() == {}
    finally:
        await state.close()
    assert list(journal.resumable) == [f"run-{number}" for number in range(2, 5)]
