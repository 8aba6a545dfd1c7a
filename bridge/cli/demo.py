"""`picobridge demo`: the main job on a simulated rig. In a terminal it then stays up to be played with."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.client import Run
from bridge.daemon.preloading import preload
from bridge.daemon.web_config import WebConfig
from bridge.demo.show import SPEED, Stage, on_stage, perform
from bridge.web.server import Door, serving
from drivers.errors import InvalidValue

from .following import follow
from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="the main job on a simulated rig, with the embedded broker")
    demo.add_argument("--json", action="store_true", help="print one JSON object and end")
    demo.add_argument("--folder", type=Path, default=Path("runs"), help="where the run's folder goes (default runs/)")
    demo.add_argument("--seed", type=int, default=0, help="of the simulation (default 0)")
    demo.add_argument("--speed", type=float, default=SPEED, help=f"simulated seconds a second (default {SPEED:g})")
    demo.add_argument("--port", type=int, help="of the broker (default 1883 if it is free)")
    demo.add_argument(
        "--by-hand",
        action="store_true",
        help="only bring the rig up: the experiments are yours, recorded in the folder",
    )
    demo.set_defaults(function=run_demo)


class TerminalFace:
    """Lines of text, and a bar for what takes long."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._step = 1

    def say(self, text: str = "") -> None:
        if not self._quiet:
            print(text, flush=True)

    async def follow(self, title: str, run: Run) -> None:
        self._step += 1
        self.say(f"\n{self._step}. {title}")
        await follow(run, quiet=self._quiet)


async def run_demo(args: argparse.Namespace) -> int:
    """Exit status 0 if every noise test passed and every sample arrived."""
    if not args.speed > 0:
        raise InvalidValue(f"--speed is {args.speed}; a number greater than zero is accepted")
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    face = TerminalFace(quiet=args.json)
    preload()
    async with (
        on_stage(
            seed=args.seed, speed=args.speed, port=args.port, data_dir=args.folder if args.by_hand else None
        ) as stage,
        _page(stage) as page,
    ):
        broker, prefix = stage.daemon.broker, stage.daemon.topics.prefix
        face.say(f"picobridge demo: seven simulated instruments at {args.speed:g} times life, broker at {broker}")
        if page:
            face.say(f"Watch in a browser:         {page}")
            await _show(page)
        face.say(f"Watch in another terminal:  mosquitto_sub -h {broker.host} -p {broker.port} -v -t '{prefix}/#'")
        face.say("                       or:  .venv/bin/picobridge monitor" + _broker_option(broker.port) + "\n")
        if args.by_hand:
            face.say("The rig stays up until Ctrl-C.")
            await asyncio.Event().wait()
        outcome = await perform(stage, face, args.folder)
        if args.json:
            print_json(outcome.to_json())
            return 0 if outcome.passed else 1
        counts = outcome.samples
        face.say(
            f"\nSamples: {counts['published']} published, {counts['received']} received by the recorder, "
            f"{counts['missing']} missing, {counts['duplicated']} duplicated"
        )
        face.say(f"Recorded data: {outcome.run_folder}")
        face.say(f"Report:        {outcome.report}")
        if sys.stdout.isatty():
            face.say("\nThe rig stays up until Ctrl-C. In another terminal, for example:")
            option = _broker_option(broker.port)
            face.say(f"  .venv/bin/picobridge devices{option}")
            face.say(
                f"  .venv/bin/picobridge noise-test --potentiostat pstat --route feedthrough --current 2pA{option}"
            )
            face.say(f"  .venv/bin/picobridge stop{option}")
            await asyncio.Event().wait()
    return 0 if outcome.passed else 1


@asynccontextmanager
async def _page(stage: Stage) -> AsyncIterator[str]:
    """Its address: on the usual port, or on any that is free."""
    door = Door(WebConfig())
    if door.socket is None:
        door = Door(WebConfig(port=0))
    try:
        async with serving(stage.daemon, WebConfig(), door) as page:
            yield page
    finally:
        door.close()


async def _show(page: str) -> None:
    """To whoever sits at a screen, and has not sent the output elsewhere."""
    if sys.stdout.isatty() and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        await asyncio.to_thread(webbrowser.open, page)


def _broker_option(port: int) -> str:
    return "" if port == 1883 else f" --broker mqtt://127.0.0.1:{port}"
