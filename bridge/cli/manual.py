"""`picobridge manual`: the pages picobridge(1) and picobridge.toml(5), made of the parsers and of the configuration's
own description, in the macros of man(7)."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version

from bridge.daemon import config
from bridge.procedures.registry import PROCEDURES

PAGES = ("picobridge.1", "picobridge.toml.5")

_DESCRIPTION = """
One daemon drives the instruments of a lab, runs the experiments, keeps the source off whenever it should be, and
publishes every sample over MQTT. These commands start it, ask it, and stop it.
"""
_EXIT_STATUS = (
    ("0", "Done."),
    ("1", "An error, which was printed; or a test that did not pass."),
    ("2", "Wrong usage."),
    ("130, 143", "Ended by SIGINT or SIGTERM, with devices left safe."),
)
_FILES = (
    ("/etc/picobridge/lab.toml", "The configuration of the service."),
    ("~/.local/state/picobridge/NAME", "State, samples and runs of a daemon that a person started."),
)
_EXAMPLES = (
    "picobridge demo",
    "picobridge probe keithley-24xx visa:GPIB0::24::INSTR",
    "picobridge check lab.toml && picobridge run lab.toml",
    "picobridge noise-test --current 1pA --route feedthrough",
    "picobridge stop",
)


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    manual = commands.add_parser(
        "manual",
        help="print a page of the manual: picobridge manual | man -l -",
        description="Print a page of the manual for man(1): picobridge manual | man -l -",
    )
    manual.add_argument("page", nargs="?", choices=PAGES, default=PAGES[0], help="which one (default: %(default)s)")
    manual.set_defaults(function=run_manual)


async def run_manual(args: argparse.Namespace) -> int:
    print(page(args.page), end="")
    return 0


@cache
def page(name: str) -> str:
    """The roff of one of `PAGES`."""
    return "".join(f"{line}\n" for line in (_commands() if name == PAGES[0] else _configuration()))


def _commands() -> Iterator[str]:
    from .main import build_parser

    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    shared = {action.dest: action for action in commands.choices["stop"]._actions if action.dest != "help"}
    yield from _head("PICOBRIDGE", 1, "picobridge", "bridge between nanobattery lab hardware and MQTT")
    yield from (".SH SYNOPSIS", ".B picobridge", r".I COMMAND", r"[\fIARGUMENTS\fR]")
    yield ".SH DESCRIPTION"
    yield from _text(_DESCRIPTION)
    yield from (".SH COMMANDS", *_text("Each says more with --help."))
    for name, command in commands.choices.items():
        if name not in PROCEDURES:
            yield from _item(_call(name, command, shared), summaries[name])
            yield from _arguments(command, shared)
    yield ".SH EXPERIMENTS"
    yield from _text("They run in the daemon. Values take units (10pA, 50uA/cm2).")
    for name in PROCEDURES:
        yield from _item(name, summaries[name])
    yield ".SH CONNECTION"
    yield from _text("Whatever asks a running bridge takes these:")
    for action in shared.values():
        yield from _item(_written(action), _help(action))
    for heading, items in (("EXIT STATUS", _EXIT_STATUS), ("FILES", _FILES)):
        yield f".SH {heading}"
        for term, text in items:
            yield from _item(term, text)
    yield ".SH EXAMPLES"
    yield from (".nf", *(_escaped(example) for example in _EXAMPLES), ".fi")
    yield from (".SH SEE ALSO", r".BR picobridge.toml (5),", ".BR mosquitto (8)")


def _configuration() -> Iterator[str]:
    summary, _, rest = inspect.cleandoc(config.__doc__ or "").partition("\n\n")
    example, _, closing = rest.partition("\n\nFile names")
    yield from _head("PICOBRIDGE.TOML", 5, "picobridge.toml", "configuration of a picobridge daemon")
    yield ".SH DESCRIPTION"
    yield from _text(summary)
    yield from _text(f"File names{closing} picobridge check tells what is wrong in a file.")
    yield from (".SH TABLES", ".nf", *(_escaped(line.removeprefix("    ")) for line in example.splitlines()), ".fi")
    yield from (".SH SEE ALSO", ".BR picobridge (1)")


def _head(title: str, section: int, name: str, summary: str) -> Iterator[str]:
    yield f'.TH {title} {section} "" "picobridge {version("picobridge")}" "picobridge"'
    yield from (".SH NAME", f"{name} \\- {summary}")


def _call(name: str, command: argparse.ArgumentParser, shared: dict[str, argparse.Action]) -> str:
    words = [name]
    own = [action for action in command._actions if action.dest not in (*shared, "help")]
    if any(action.option_strings for action in own):
        words.append("[OPTIONS]")
    words += [_written(action) for action in own if not action.option_strings]
    return " ".join(words)


def _arguments(command: argparse.ArgumentParser, shared: dict[str, argparse.Action]) -> Iterator[str]:
    own = [action for action in command._actions if action.dest not in (*shared, "help") and _help(action)]
    if own:
        yield ".RS"
        for action in own:
            yield from _item(_written(action), _help(action))
        yield ".RE"


def _written(action: argparse.Action) -> str:
    metavar = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"[{metavar}]" if action.nargs in ("?", "*") else str(metavar)
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {metavar}")


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default}


def _item(term: str, text: str) -> Iterator[str]:
    yield from (".TP", f".B {_escaped(term)}", *_text(text))


def _text(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line.strip():
            yield _escaped(line.strip())


def _escaped(line: str) -> str:
    """For roff: a backslash, a hyphen that is to be copied, a line that begins like a request."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line
