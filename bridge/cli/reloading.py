"""`picobridge reload`: a running bridge reads its configuration again."""

from __future__ import annotations

import argparse

from .broker_arguments import add_broker_arguments, lab_of
from .output import print_json, waiting


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reload = commands.add_parser(
        "reload",
        help="have a running bridge read its configuration again; runs go on",
        description="A file with a mistake changes nothing. What something under way forbids waits for another reload.",
    )
    add_broker_arguments(reload)
    reload.set_defaults(function=run_reload)


async def run_reload(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        with waiting("reading the configuration again"):
            answer = await lab.request("reload")
    if args.json:
        print_json(answer)
        return 0
    for key, said in (("applied", "now"), ("waits", "NOT now"), ("restart_needed", "after a RESTART only")):
        for text in answer[key]:
            print(f"{said}: {text}")
    if not any(answer.values()):
        print("nothing has changed")
    return 0
