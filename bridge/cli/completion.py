"""`picobridge completion`: what the shell needs to complete our commands, options, file names and names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from typing import Any

import shtab

from bridge.procedures.registry import PROCEDURES
from drivers.registry import DRIVERS

SHELLS = ("bash", "zsh", "fish")

#: In zsh the library's own pattern is in parentheses, which reads as a glob qualifier and matches nothing.
_TOML = {**shtab.glob("*.toml"), "zsh": "_files -g '*.toml'"}
#: By the word that stands for an argument in its help.
_COMPLETIONS: dict[str, Any] = {
    "CONFIG.toml": _TOML,
    "FILE.toml": _TOML,
    "FILE": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "DIRECTORY": shtab.DIRECTORY,
    "FOLDER": shtab.DIRECTORY,
    "RUN|FOLDER": shtab.DIRECTORY,
    "PROCEDURE": shtab.cmd(f"echo {' '.join(PROCEDURES)}"),
    "DRIVER": shtab.cmd(f"echo {' '.join(driver.name for driver in DRIVERS)}"),
}


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    completion = commands.add_parser(
        "completion",
        help="print what bash, zsh or fish needs to complete commands and names",
        description="Print a script for the shell. For bash: source <(picobridge completion bash), in ~/.bashrc. For "
        "zsh: picobridge completion zsh > a file _picobridge in a folder of $fpath. For fish: picobridge completion "
        "fish > ~/.config/fish/completions/picobridge.fish. install-host puts them where every user's shell looks.",
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(function=run_completion)


async def run_completion(args: argparse.Namespace) -> int:
    print(script(args.shell))
    return 0


@cache
def script(shell: str) -> str:
    """For one of `SHELLS`. The experiments are those that picobridge has, not a user's own."""
    from .main import build_parser

    parser = build_parser()
    for action in _arguments(parser):
        if action.metavar in _COMPLETIONS:
            action.complete = _COMPLETIONS[str(action.metavar)]  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _arguments(command)
        elif action.nargs != 0:
            yield action
