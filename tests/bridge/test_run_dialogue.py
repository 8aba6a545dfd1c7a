"""Runs that ask, pause, go on where another was interrupted, and are made of others."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.procedures.context import Context, Question
from bridge.procedures.description import Procedure, Role
from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Options, Potentiostat, option
from drivers.techniques import Galvanostatic
from tests.near import near

from .conftest import Rig, RigMaker
from .fakes import ramp

ROLES = {"potentiostat": Role("potentiostat")}
PSTAT = {"potentiostat": "pstat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Options):
    """No parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times(Options):
    times: int = option(3, help="how often", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Options):
    length_m: float = option(unit="m", help="length", above=0, at_most=1e-3)
    clean: bool = option(False, help="whether")


async def ask(context: Context, parameters: Nothing) -> dict[str, Any]:
    answer = await context.ask(Question("How long is it?", ("done", "skip"), Cut, {"step": 7}))
    values = None if answer.values is None else answer.values.length_m
    return {"choice": answer.choice, "length_m": values, "by": answer.by}


async def count(context: Context, parameters: Times) -> dict[str, Any]:
    """One technique a turn; a turn that a pause has cut is done again."""
    potentiostat = context.device("potentiostat")
    assert isinstance(potentiostat, Potentiostat)
    done = list(context.saved.get("done", []))
    while len(done) < parameters.times:
        await context.pause_point()
        context.progress(f"turn {len(done)}", len(done) / parameters.times)
        technique = Galvanostatic(current_a=1e-9, duration_s=1.0)
        async with aclosing(potentiostat.run(technique)) as blocks:
            async for _ in blocks:
                pass
        if context.pausing:
            continue
        done.append(context.run)
        await context.save(done=done)
    return {"done": done}


async def whole(context: Context, parameters: Times) -> dict[str, Any]:
    first = await context.perform("count", {"times": parameters.times}, title="first", share=(0.0, 0.5))
    await context.save(first=first)
    second = await context.perform("ask", {}, title="second")
    return {"first": first, "second": second}


async def late(context: Context, parameters: Nothing) -> dict[str, Any]:
    """A technique that begins after a pause was asked for."""
    await context.ask(Question("Shall it begin?"))
    potentiostat = context.device("potentiostat")
    assert isinstance(potentiostat, Potentiostat)
    async with aclosing(potentiostat.run(Galvanostatic(current_a=1e-9, duration_s=1.0))) as blocks:
        async for _ in blocks:
            pass
    cut = context.pausing
    await context.pause_point()
    return {"cut": cut}


async def stubborn(context: Context, parameters: Nothing) -> dict[str, Any]:
    return dict(await context.perform("count", {"times": 2}))


async def careful(context: Context, parameters: Nothing) -> dict[str, Any]:
    result = dict(await context.perform("stubborn", {}))
    await context.pause_point()
    return result


OWN = (
    Procedure("late", "begins late", Nothing, ROLES, late, pausable=True),
    Procedure("stubborn", "cannot be paused, though its part can", Nothing, ROLES, stubborn),
    Procedure("careful", "pauses after its part", Nothing, ROLES, careful, pausable=True),
    Procedure("ask", "asks", Nothing, ROLES, ask),
    Procedure("count", "counts", Times, ROLES, count, pausable=True, resumable=True),
    Procedure("whole", "is made of two", Times, ROLES, whole, pausable=True, resumable=True),
    Procedure("pair", "takes two", Nothing, {"potentiostat": Role("potentiostat", several=True)}, ask),
)


async def state_of(r: Rig, run: str, *wanted: str) -> dict[str, Any]:
    """The run's state once it has what is wanted: "question", "paused", or a status."""
    return await r.listener.json(
        f"{r.prefix}/runs/{run}/state", lambda state: all(_has(state, word) for word in wanted)
    )


def _has(state: dict[str, Any], word: str) -> bool:
    return word in (state["status"], state["pause"]) or (word == "question" and bool(state["question"]))


def was_stopped(pstat: Any) -> bool:
    """While a technique was under way: connecting has stopped it too."""
    return "stop" in pstat.done[pstat.done.index("run galvanostatic") :]


async def begin(r: Rig, procedure: str, **parameters: Any) -> str:
    answer = await r.request("run", procedure=procedure, parameters=parameters, devices=PSTAT)
    return str(answer["run"])


async def result_of(r: Rig, run: str) -> dict[str, Any]:
    outcome = await r.listener.json(f"{r.prefix}/runs/{run}/result")
    assert outcome["status"] == "finished", outcome["error"]
    return dict(outcome["result"])


async def test_a_question_waits_for_an_answer_that_fits(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "ask")
        question = (await state_of(r, run, "question"))["question"]
        assert (question["text"], question["choices"], question["details"]) == (
            "How long is it?",
            ["done", "skip"],
            {"step": 7},
        )
        length, clean = question["fields"]
        assert (length["name"], length["unit"], length["required"]) == ("length_m", "m", True)
        assert (length["type"], length["above"], length["at_most"]) == ("number", 0, 1e-3)
        assert (clean["type"], clean["default"]) == ("boolean", False)
        for params, message in (
            ({"choice": "perhaps"}, "choice is 'perhaps'; accepted: done, skip"),
            ({"choice": "done"}, "'length_m' is required"),
            ({"choice": "done", "values": {"length": "2 m"}}, "'length_m' is 2 m; accepted: at most 0.001 m"),
            ({"choice": "done", "values": {"length": "2 V"}}, "'2 V'"),
            ({"choice": "done", "values": {"length": "5 um"}, "question": "17"}, "the one that is open is '1'"),
            ({"choice": "done", "values": {"width": "5 um"}}, "'width' is not known"),
        ):
            with pytest.raises(InvalidValue) as caught:
                await r.request("answer", run=run, **params)
            assert message in caught.value.message
        await r.request("answer", run=run, choice="done", values={"length": "5 um", "clean": "true"}, question="1")
        assert await result_of(r, run) == {"choice": "done", "length_m": near(5e-6), "by": "test"}
        assert await r.listener.event("How long is it?")
        assert await r.listener.event("test answered 'done'")


async def test_a_second_answer_is_refused(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "ask")
        await state_of(r, run, "question")
        await r.request("answer", run=run, choice="done", values={"length": "5 um"})
        with pytest.raises(InvalidValue, match=r"no question is open|is not under way"):
            await r.request("answer", run=run, choice="done", values={"length": "6 um"})
        assert (await result_of(r, run))["length_m"] == near(5e-6)


async def test_an_abort_ends_a_question(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "ask")
        await state_of(r, run, "question")
        state = await r.request("abort", run=run)
        assert (state["status"], state["question"]) == ("aborted", None)
        with pytest.raises(InvalidValue, match="is not under way; under way: none"):
            await r.request("answer", run=run, choice="done", values={"length": "5 um"})


async def test_a_pause_is_taken_with_the_source_off(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        pstat = r.device("pstat")
        reached, go_on = asyncio.Event(), asyncio.Event()

        def script(technique: Any) -> Any:
            first, *rest = ramp(20, 5)

            def hold() -> Any:
                reached.set()
                return go_on.wait()

            return [first, hold, *rest]

        pstat.script = script
        run = await begin(r, "count", times=2)
        await reached.wait()
        assert (await r.request("pause", run=run))["pause"] == "asked"
        go_on.set()
        await state_of(r, run, "paused")
        assert was_stopped(pstat)
        assert not pstat.cell_on
        ran = pstat.done.count("run galvanostatic")
        assert (await r.request("continue", run=run))["pause"] is None
        assert len((await result_of(r, run))["done"]) == 2
        assert ran == 1
        assert pstat.done.count("run galvanostatic") == 3  # the turn that was cut is done again


async def test_a_pause_that_comes_before_a_technique_ends_it(rig: RigMaker) -> None:
    """A driver forgets a stop that comes before its run: it is said again once the technique is under way."""
    async with rig(procedures=OWN) as r:
        pstat = r.device("pstat")
        run = await begin(r, "late")
        await state_of(r, run, "question")
        await r.request("pause", run=run)
        await r.request("answer", run=run, choice="done")
        await state_of(r, run, "paused")
        assert was_stopped(pstat)
        await r.request("continue", run=run)
        assert (await result_of(r, run)) == {"cut": True}


async def test_a_part_that_cannot_be_paused_is_not_cut(rig: RigMaker) -> None:
    """The whole can: it pauses when the part has ended, however deep that is."""
    async with rig(procedures=OWN) as r:
        pstat = r.device("pstat")
        reached, go_on = asyncio.Event(), asyncio.Event()

        def script(technique: Any) -> Any:
            first, *rest = ramp(20, 5)

            def hold() -> Any:
                reached.set()
                return go_on.wait()

            return [first, hold, *rest]

        pstat.script = script
        run = await begin(r, "careful")
        await reached.wait()
        assert (await r.request("pause", run=run))["pause"] == "asked"
        go_on.set()
        state = await state_of(r, run, "paused")
        assert [part["status"] for part in state["parts"]] == ["finished", "finished"]
        assert [part["title"] for part in state["parts"]] == ["stubborn", "stubborn: count"]
        assert not was_stopped(pstat)
        assert pstat.done.count("run galvanostatic") == 2
        await r.request("continue", run=run)
        assert len((await result_of(r, run))["done"]) == 2


async def test_what_cannot_be_paused_says_so(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "ask")
        with pytest.raises(Refused, match="ask cannot be paused"):
            await r.request("pause", run=run)
        await r.request("abort", run=run)


async def test_an_abort_ends_a_pause(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "whole", times=1)
        await state_of(r, run, "question")
        await r.request("pause", run=run)
        state = await r.request("abort", run=run)
        assert state["status"] == "aborted"


async def test_an_aborted_run_is_gone_on_with(rig: RigMaker) -> None:
    """What a part had saved goes back to that part, what the whole had saved to the whole."""
    async with rig(procedures=OWN) as r:
        first = await begin(r, "whole", times=2)
        await state_of(r, first, "question")
        state = await r.request("abort", run=first)
        assert state["resumable"] is True
        second = (await r.request("resume", run=first))["run"]
        state = await state_of(r, second, "question")
        assert state["resumes"] == first
        assert [part["title"] for part in state["parts"]] == ["first", "second"]
        with pytest.raises(InvalidValue, match="cannot be resumed"):
            await r.request("resume", run=first)  # one goes on, not two
        await r.request("answer", run=second, choice="skip")
        result = await result_of(r, second)
        assert result["second"]["choice"] == "skip"
        with pytest.raises(InvalidValue, match="it finished, had saved nothing, or is not known"):
            await r.request("resume", run=second)


async def test_a_part_goes_on_where_it_was(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        pstat = r.device("pstat")
        turns = 0

        def script(technique: Any) -> Any:
            nonlocal turns
            turns += 1
            return ramp(20, 5) if turns < 3 else [asyncio.Event().wait, *ramp(20, 5)]

        pstat.script = script
        first = await begin(r, "whole", times=4)
        await r.listener.json(f"{r.prefix}/runs/{first}/state", lambda state: state["step"] == "first: turn 2")
        await r.request("abort", run=first)
        pstat.script = lambda technique: ramp(20, 5)
        second = (await r.request("resume", run=first))["run"]
        await state_of(r, second, "question")
        await r.request("answer", run=second, choice="skip")
        assert (await result_of(r, second))["first"]["done"] == [first, first, second, second]


async def test_a_part_is_shown_within_the_whole(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, "whole", times=2)
        state = await state_of(r, run, "question")
        first, second = state["parts"]
        assert (first["procedure"], first["title"], first["status"]) == ("count", "first", "finished")
        assert state["started_ns"] <= first["started_ns"] <= first["ended_ns"] <= second["started_ns"]
        assert (second["procedure"], second["status"], second["ended_ns"]) == ("ask", "running", None)
        await r.request("abort", run=run)
        assert r.daemon.runs.states()[-1]["parts"][1]["status"] == "aborted"


async def test_the_health_watch_is_told_of_the_sample(rig: RigMaker) -> None:
    """The window that only the procedure knows: 20 V are beyond it."""

    async def tells(context: Context, parameters: Nothing) -> dict[str, Any]:
        context.describe_sample(area_m2=1e-11, stray_f=None, hard_min_v=1.8, hard_max_v=4.3)
        potentiostat = context.device("potentiostat")
        assert isinstance(potentiostat, Potentiostat)
        async with aclosing(potentiostat.run(Galvanostatic(current_a=1e-9, duration_s=1.0))) as blocks:
            return {"blocks": len([block async for block in blocks])}

    own = (Procedure("tells", "tells", Nothing, ROLES, tells),)
    async with rig(procedures=own) as r:
        run = await begin(r, "tells")
        outcome = await r.listener.json(f"{r.prefix}/runs/{run}/result")
        assert outcome["error"]["error"] == "HealthStop"
        assert outcome["health"][0]["kind"] == "window"
        assert not r.device("pstat").cell_on


async def test_progress_of_a_part_is_scaled_into_its_share(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        fractions = []

        def script(technique: Any) -> Any:
            fractions.append(r.daemon.runs.running[0].fraction)
            return ramp(20, 5)

        r.device("pstat").script = script
        run = await begin(r, "whole", times=4)
        await state_of(r, run, "question")
        await r.request("abort", run=run)
        assert fractions == [0.0, 0.125, 0.25, 0.375]  # of the half that is the part's
        await r.request("run", procedure="stubborn", parameters={}, devices=PSTAT)
        await r.listener.event("(stubborn) finished")
        assert fractions[4:] == [None, None]  # no share was given to it: nobody knows how far the whole is


async def test_a_note_may_say_anything(rig: RigMaker) -> None:
    """Also what an event has a field for: a procedure's words about a failure must not fail."""

    async def notes(context: Context, parameters: Nothing) -> dict[str, Any]:
        context.note("odd", error={"error": "CellNotOff"}, device="x", severity=3, run=None)
        return {}

    own = (Procedure("notes", "notes", Nothing, ROLES, notes),)
    async with rig(procedures=own) as r:
        run = await begin(r, "notes")
        assert await result_of(r, run) == {}
        event = await r.listener.event("odd")
        assert event["values"]["error_"] == {"error": "CellNotOff"}
        assert (event["run"], event["severity"]) == (run, "warning")


async def test_several_devices_play_one_role(rig: RigMaker) -> None:
    async with rig(devices=("pstat", "stage"), procedures=OWN) as r:
        answer = await r.request("run", procedure="pair", parameters={}, devices={"potentiostat": ["pstat"]})
        state = await state_of(r, answer["run"], "question")
        assert state["devices"] == {"potentiostat": ["pstat"]}
        await r.request("abort", run=answer["run"])
        for devices, message in (
            ({"potentiostat": ["pstat", "pstat"]}, "plays another role already"),
            ({"potentiostat": ["pstat", "stage"]}, "a stage; accepted: pstat"),
            ({"potentiostat": []}, "role potentiostat is not cast"),
        ):
            with pytest.raises(InvalidValue) as caught:
                await r.request("run", procedure="pair", parameters={}, devices=devices)
            assert message in caught.value.message
        with pytest.raises(InvalidValue, match="one device plays this role"):
            await r.request("run", procedure="ask", parameters={}, devices={"potentiostat": ["pstat", "stage"]})
