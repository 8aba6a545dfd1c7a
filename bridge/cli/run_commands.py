"""`picobridge answer`, `pause`, `continue`, `abort`, `follow` and `resume`: runs, by hand."""

from __future__ import annotations

import argparse

from bridge.client import Lab, Run
from drivers.errors import InvalidValue

from .assignments import assignments
from .broker_arguments import add_broker_arguments, lab_of
from .following import add_detach, follow_or_leave, follow_to_result
from .output import print_json, waiting
from .prompting import choice_of, described, details, how_to_answer


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    answer = commands.add_parser("answer", help="answer what a run asks; without a choice: show the question")
    answer.add_argument("run", metavar="RUN")
    answer.add_argument("choice", nargs="?", metavar="CHOICE", help="one of the choices, or its number")
    answer.add_argument("values", nargs="*", metavar="NAME=VALUE", help="what is to be typed in, such as x=25um")
    add_broker_arguments(answer)
    answer.set_defaults(function=run_answer, acts=True)

    for name, help_text, function in (
        ("pause", "pause a run where its source is off; ends when it is paused", run_pause),
        ("continue", "end a pause", run_continue),
        ("abort", "end a run: source off, motion stopped", run_abort),
        ("follow", "follow a run that somebody else started; Ctrl-C leaves it to itself", run_follow),
    ):
        parser = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        parser.add_argument("run", metavar="RUN")
        add_broker_arguments(parser)
        parser.set_defaults(function=function, acts=name != "follow")

    resume = commands.add_parser(
        "resume",
        help="go on with a run that was interrupted, aborted or failed",
        description="A new run, with the parameters and devices of the old one, that goes on from what that had saved.",
    )
    resume.add_argument("run", metavar="RUN")
    add_detach(resume)
    add_broker_arguments(resume)
    resume.set_defaults(function=run_resume, acts=True)


async def _run_named(lab: Lab, name: str) -> Run:
    """Raises `InvalidValue` for one that the daemon does not know."""
    runs = {run.id: run for run in await lab.runs()}
    if name not in runs:
        raise InvalidValue(f"run {name!r} is not known; accepted: {', '.join(runs) or 'none'}")
    return runs[name]


async def run_answer(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await _run_named(lab, args.run)
        question = run.question
        if question is None:
            raise InvalidValue(f"run {args.run} asks nothing; it is {run.state.get('status')}")
        if args.choice is not None:
            choice = choice_of(args.choice, question["choices"])
            await run.answer(choice, assignments(args.values, "NAME=VALUE"), question=str(question["id"]))
            if args.json:
                print_json({"run": run.id, "question": question["id"], "choice": choice})
            else:
                print(f"run {run.id} was told {choice!r}")
            return 0
    if args.json:
        print_json(question)
        return 0
    print(question["text"])
    for line in (*details(question), *map(described, question["fields"] or ())):
        print(f"  {line}")
    print(f"  choices: {', '.join(question['choices'])}")
    print(f"  answer with: {how_to_answer(run.id, question)}")
    return 0


async def run_pause(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await _run_named(lab, args.run)
        await run.pause()
        with waiting(f"until {run.id} is where it can pause (Ctrl-C: it pauses all the same)"):
            await _until_paused(run)
        if run.state.get("pause") == "paused":
            _tell(args, run, f"run {run.id} is paused, its source off; `picobridge continue {run.id}` goes on")
            return 0
        if run.question is not None:
            _tell(args, run, f"run {run.id} will pause once it is answered: {run.question['text']}")
            return 0
        _tell(args, run, f"run {run.id} is not paused; it is {run.state.get('status')}")
        return 1


async def _until_paused(run: Run) -> None:
    """Or until it does not come to that: it has ended, asks something, or was told to go on."""
    asked = False
    async for state in run.states():
        if state.get("pause") == "paused" or (asked and state.get("pause") is None):
            return
        asked = asked or state.get("pause") == "asked"
        if asked and state.get("question") is not None:
            return


async def run_continue(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await _run_named(lab, args.run)
        paused = run.state.get("pause") is not None
        await run.go_on()
        _tell(args, run, f"run {run.id} goes on" if paused else f"run {run.id} was not paused")
    return 0


async def run_abort(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await _run_named(lab, args.run)
        await run.abort()
        async for _ in run.states():
            pass  # its last state may come after the answer
        again = f"; `picobridge resume {run.id}` goes on with it" if run.state.get("resumable") else ""
        _tell(args, run, f"run {run.id} is {run.state.get('status')}{again}")
    return 0


async def run_follow(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        return await follow_to_result(await _run_named(lab, args.run), as_json=args.json, ours=False)


async def run_resume(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        return await follow_or_leave(args, await lab.resume(args.run))


def _tell(args: argparse.Namespace, run: Run, text: str) -> None:
    if args.json:
        print_json({name: run.state.get(name) for name in ("run", "procedure", "status", "step", "pause", "resumable")})
    else:
        print(text)
