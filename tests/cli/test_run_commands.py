"""Runs by hand: started by the daemon's description, asked, answered, paused, aborted, gone on with."""

from __future__ import annotations

import asyncio
import getpass
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.procedures.common import potentiostat_of, source_off_afterwards
from bridge.procedures.context import Context, Question
from bridge.procedures.description import Procedure, Role
from drivers.errors import BridgeUnreachable, ConfigurationError, InvalidValue, Refused, RunFailed
from drivers.interfaces import Options, option
from drivers.techniques import Galvanostatic
from tests.bridge.conftest import eventually
from tests.client.conftest import Bench, BenchMaker

from .test_direct import lines, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "procedures" / "slow_discharge.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Options):
    text: str = option("", help="what to say")
    times: int = option(1, help="how often", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Options):
    width_m: float = option(unit="m", above=0, at_most=1e-4, help="width of the cut")
    clean: bool = option(True, help="whether it is clean")


async def ask(context: Context, parameters: Ask) -> dict[str, Any]:
    done = int(context.saved.get("done", 0))
    widths = []
    while done < parameters.times:
        await context.pause_point()
        question = Question(
            f"Cut {done + 1} [of {parameters.times}]: how wide?", ("done", "give up"), Cut, {"limit": 7}
        )
        answer = await context.ask(question)
        if answer.choice == "give up":
            return {"procedure": "ask", "verdict": "fail", "by": answer.by}
        widths.append(answer.values.width_m)
        done += 1
        await context.save(done=done)
    return {"procedure": "ask", "verdict": "pass", "widths_m": widths, "text": parameters.text}


async def hold(context: Context, parameters: Ask) -> dict[str, Any]:
    potentiostat = potentiostat_of(context)
    turns = 0
    async with source_off_afterwards(context, potentiostat):
        while True:
            await context.pause_point()
            technique = Galvanostatic(current_a=1e-12, duration_s=1e6, interval_s=0.1)
            async with aclosing(potentiostat.run(technique)) as blocks:
                async for _ in blocks:
                    context.progress(f"turn {turns}")
            turns += 1


ROLES = {"potentiostat": Role("potentiostat")}
OWN = (
    Procedure("ask", "asks how wide", Ask, ROLES, ask, pausable=True, resumable=True),
    Procedure("hold", "holds a current", Ask, ROLES, hold, pausable=True),
)


def at(b: Bench) -> tuple[str, ...]:
    """Named, the bridge is found at once."""
    return "--broker", b.url, "--bridge", "lab"


async def started(b: Bench, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A run that is left to itself."""
    assert await run("start", *words, *at(b), "--detach") == 0
    return capsys.readouterr().out.strip()


async def until(b: Bench, name: str, condition: Any) -> Any:
    (found,) = [known for known in await b.lab.runs() if known.id == name]
    async for state in found.states():
        if condition(state):
            return state
    raise AssertionError(found.state)


async def test_procedures_are_listed_without_a_daemon(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert await run("procedures", "--json") == 0
    listed = lines(capsys)
    kinds = {field["type"] for entry in listed for field in entry["parameters"]}
    assert kinds == {"number", "integer", "boolean", "text"}
    assert await run("procedures") == 0
    assert capsys.readouterr().out.count("\n\n") == len(listed)
    names = [entry["name"] for entry in listed]
    assert names[0] == "technique"
    assert {"noise-test", "cycle", "make-contact"} < set(names)
    assert await run("procedures", str(EXAMPLE)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("slow-discharge: discharge at ever smaller currents")
    assert "(pausable, resumable)\n  device potentiostat: potentiostat\n" in shown
    assert "  first_a: current of the first step (more than 0 A; at most 1e-06 A; needed)\n" in shown
    assert "  -> discharge_ah: all steps together\n" in shown
    config = tmp_path / "lab.toml"
    config.write_text(f'[bridge]\nprocedures = ["{EXAMPLE}"]\n')
    for source in (str(config), "cycle", "technique"):
        assert await run("procedures", source, "--json") == 0
        (entry,) = lines(capsys)
        assert entry["name"] == ("slow-discharge" if source == str(config) else source)
    with pytest.raises(InvalidValue, match="nothing is no Python file that can be read"):
        await run("procedures", "nothing")
    assert await run("check", str(config), "--json") == 0
    assert lines(capsys)[0]["procedures"] == ["slow-discharge"]
    assert await run("check", str(config)) == 0
    assert "slow-discharge       procedure        discharge at ever" in capsys.readouterr().out
    config.write_text(config.read_text().replace("slow_discharge.py", "slow.py"))
    with pytest.raises(ConfigurationError, match=r"bridge\.procedures has .*slow\.py is no Python file"):
        await run("check", str(config))


async def test_a_question_by_hand(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", procedures=OWN) as b:
        with pytest.raises(InvalidValue, match="procedure is 'asks'; accepted: technique, "):
            await run("start", "asks", *at(b))
        with pytest.raises(InvalidValue, match="'times' is 0; accepted: at least 1"):
            await run("start", "ask", "--set", "times=0", *at(b))
        with pytest.raises(InvalidValue, match="potentiostat is 'stage'; accepted: pstat"):
            await run("start", "ask", "--role", "potentiostat=stage", *at(b))
        name = await started(b, "ask", "text=a b", "--set", "times=1", "--role", "potentiostat=pstat", capsys=capsys)
        await until(b, name, lambda state: state["question"])
        assert await run("answer", name, *at(b)) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown == [
            "Cut 1 [of 1]: how wide?",
            "  limit: 7",
            "  width_m: width of the cut (more than 0 m; at most 0.0001 m; needed)",
            "  clean: whether it is clean (true or false; default true)",
            "  choices: done, give up",
            f"  answer with: picobridge answer {name} done width_m=...",
        ]
        for words, message in (
            (("perhaps",), "choice is 'perhaps'; accepted: done, give up"),
            (("done",), "'width_m' is required"),
            (("1", "width=1mm"), "'width_m' is 0.001 m; accepted: at most 0.0001 m"),
            (("done", "width"), "'width' is no NAME=VALUE"),
            (("done", "width=1um", "width=2um"), "width is given twice"),
        ):
            with pytest.raises(InvalidValue) as caught:
                await run("answer", name, *words, *at(b))
            assert message in str(caught.value)
        assert await run("answer", name, "Done", "width=25um", "clean=false", *at(b)) == 0
        assert capsys.readouterr().out == f"run {name} was told 'done'\n"
        assert await run("follow", name, *at(b), "--json") == 0
        (result,) = lines(capsys)
        assert (result["widths_m"], result["text"], result["run"]) == ([2.5e-05], "a b", name)
        with pytest.raises(InvalidValue, match="asks nothing; it is finished"):
            await run("answer", name, "done", *at(b))
        with pytest.raises(InvalidValue, match="run 'x' is not known; accepted: "):
            await run("answer", "x", "done", *at(b))


async def test_a_pause_by_hand_has_the_source_off(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", procedures=OWN) as b:
        name = await started(b, "hold", "--watch", "off", capsys=capsys)
        await until(b, name, lambda state: state["step"] == "turn 0")
        assert b.instrument("pstat").source.output
        assert await run("pause", name, *at(b)) == 0
        assert capsys.readouterr().out.startswith(f"run {name} is paused, its source off; `picobridge continue {name}`")
        assert not b.instrument("pstat").source.output
        assert await run("pause", name, *at(b), "--json") == 0  # once more changes nothing
        assert lines(capsys)[0]["pause"] == "paused"
        assert await run("continue", name, *at(b)) == 0
        assert capsys.readouterr().out == f"run {name} goes on\n"
        await until(b, name, lambda state: state["step"] == "turn 1")
        assert b.instrument("pstat").source.output
        assert await run("abort", name, *at(b)) == 0
        assert capsys.readouterr().out == f"run {name} is aborted\n"
        assert not b.instrument("pstat").source.output
        with pytest.raises(InvalidValue, match="is not under way; under way: none"):
            await run("pause", name, *at(b))
        answer = await b.lab.start(
            "technique", {"technique": "open_circuit", "duration_s": "1 h"}, {"potentiostat": "pstat"}
        )
        with pytest.raises(Refused, match="technique cannot be paused"):
            await run("pause", answer.id, *at(b))
        await answer.abort()


async def test_an_aborted_run_is_gone_on_with_by_hand(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", procedures=OWN) as b:
        name = await started(b, "ask", "times=2", capsys=capsys)
        await until(b, name, lambda state: state["question"])
        await run("answer", name, "done", "width=1um", *at(b))
        await until(b, name, lambda state: state["question"] and "Cut 2" in state["question"]["text"])
        capsys.readouterr()
        assert await run("pause", name, *at(b)) == 0
        assert "will pause once it is answered: Cut 2 [of 2]" in capsys.readouterr().out
        assert await run("abort", name, *at(b)) == 0
        assert capsys.readouterr().out == f"run {name} is aborted; `picobridge resume {name}` goes on with it\n"
        following = asyncio.create_task(run("resume", name, *at(b), "--json"))
        said = ""

        def told() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return "answer with" in said

        await eventually(told)
        (waiting,) = [known for known in await b.lab.runs() if known.question is not None]
        # where there is no terminal it is said how to answer, even with --json
        assert said.splitlines() == [
            f"{waiting.id} asks: Cut 2 [of 2]: how wide?",
            "  limit: 7",
            f"  answer with: picobridge answer {waiting.id} done width_m=...",
        ]
        await waiting.answer("done", width="3 um")
        assert await following == 0
        (result,) = lines(capsys)
        assert result["widths_m"] == [3e-06]
        with pytest.raises(InvalidValue, match="cannot be resumed"):
            await run("resume", name, *at(b))


async def test_a_verdict_that_is_no_pass_is_exit_status_1(
    bench: BenchMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bench("pstat", procedures=OWN) as b:
        name = await started(b, "ask", capsys=capsys)
        await until(b, name, lambda state: state["question"])
        assert await run("answer", name, "2", *at(b), "--json") == 0
        assert lines(capsys) == [{"run": name, "question": "1", "choice": "give up"}]
        assert await run("follow", name, *at(b), "--json") == 1
        assert lines(capsys)[0]["by"].startswith(getpass.getuser())


async def test_what_ended_badly_is_told_by_whoever_follows(
    bench: BenchMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bench("pstat", procedures=OWN) as b:
        name = await started(b, "ask", capsys=capsys)
        await run("abort", name, *at(b))
        with pytest.raises(RunFailed, match=f"run {name} was aborted"):
            await run("follow", name, *at(b))


async def test_a_word_and_a_time_of_one_name_are_two_options() -> None:
    nobody = ("--broker", "mqtt://127.0.0.1:1")
    with pytest.raises(InvalidValue, match="'burst' is 'sometimes'; accepted: fail, always, never"):
        await run("noise-test", "--burst", "sometimes", *nobody)
    with pytest.raises(InvalidValue, match="'burst_s' is 0 s; accepted: more than 0 s"):
        await run("noise-test", "--burst-s", "0 s", *nobody)
    with pytest.raises(BridgeUnreachable):
        await run("noise-test", "--burst", "always", "--burst-s", "5s", *nobody)
