"""One command for each procedure: its options are the procedure's parameters, its devices are found by their roles."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from bridge.daemon.catalogue import describe_roles
from bridge.daemon.watch_options import parse_assignments, parse_watch
from bridge.procedures.description import Procedure
from bridge.procedures.registry import PROCEDURES
from drivers.calls import split_unit
from drivers.errors import InvalidValue
from drivers.quantities import quantity

from .broker_arguments import add_broker_arguments, lab_of
from .following import add_detach, follow_or_leave
from .roles import assign_roles


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for procedure in PROCEDURES.values():
        parser = commands.add_parser(
            procedure.name,
            help=procedure.summary,
            description=f"Run in the daemon: {_sentence(procedure.summary)} Values take units (10pA, 50uA/cm2). "
            "Ctrl-C aborts the run and leaves the source off, unless --detach. Exit status 1 if a test does not pass.",
        )
        add_broker_arguments(parser)
        for role, kind in procedure.roles.items():
            need = "needed if there are several" if kind.required else "optional"
            if kind.several:
                need = "several with commas; all there are unless given"
            parser.add_argument(f"--{role}", metavar="DEVICE", help=f"which {kind.interface} ({need})")
        for short, fields in _by_short_name(procedure).items():
            _add_parameter(parser, short, fields)
        if "potentiostat" in procedure.roles:
            parser.add_argument(
                "--watch",
                action="append",
                default=[],
                metavar="WHAT=REACTION",
                help="what the health watch does, such as short=stop,drift=off (reactions: off, mark, pause, stop), or "
                "off; may be given several times",
            )
        add_detach(parser)
        parser.set_defaults(function=run_experiment, procedure=procedure.name, acts=True)


def _sentence(words: str) -> str:
    return words if words.endswith((".", "?")) else f"{words}."


def _by_short_name(procedure: Procedure) -> dict[str, list[dataclasses.Field[Any]]]:
    """Parameters by their names without the unit; some are the same quantity in two units (a charge, also by area).

    Where another parameter is called so, the unit stays (`burst`, `burst_s`).
    """
    known = dataclasses.fields(procedure.parameters)
    names = {field.name for field in known}
    fields: dict[str, list[dataclasses.Field[Any]]] = {}
    for field in known:
        short = split_unit(field.name)[0]
        fields.setdefault(field.name if short in names else short, []).append(field)
    return fields


def _add_parameter(parser: argparse.ArgumentParser, short: str, fields: list[dataclasses.Field[Any]]) -> None:
    units = " or ".join(unit for field in fields if (unit := split_unit(field.name)[1])).replace("**", "")
    metadata, default = fields[0].metadata, fields[0].default
    said = [
        f"{words} {metadata[limit]:g} {metadata.get('unit', '')}".rstrip()
        for limit, words in (("at_least", "at least"), ("above", "more than"), ("at_most", "at most"))
        if limit in metadata
    ]
    if choices := metadata.get("choices"):
        said.append("one of " + ", ".join(choices))
    if default is not dataclasses.MISSING and default is not None and default != "":
        said.append(f"default {default} {units}".rstrip())
    told = metadata["help"] + (f" ({'; '.join(said)})" if said else "")
    parser.add_argument(
        f"--{short.replace('_', '-')}",
        dest=f"parameter_{short}",
        metavar="FILE" if metadata.get("file") else units or "VALUE",
        help=told.replace("**", "").replace("%", "%%"),
    )


async def run_experiment(args: argparse.Namespace) -> int:
    procedure = PROCEDURES[args.procedure]
    values: dict[str, Any] = {}
    for short, fields in _by_short_name(procedure).items():
        text = getattr(args, f"parameter_{short}")
        if text is not None:
            field = _fitting(text, fields)
            values[field.name] = _value(text, field)
    watch = parse_assignments(getattr(args, "watch", []))
    parse_watch(watch)
    procedure.parse(values)  # a wrong value is told before anything is asked of the daemon
    async with lab_of(args) as lab:
        named = {role: getattr(args, role) for role in procedure.roles}
        devices = assign_roles(lab, procedure.name, describe_roles(procedure.roles), named)
        run = await lab.start(procedure.name, values, devices, watch or None)
        return await follow_or_leave(args, run)


def _fitting(text: str, fields: list[dataclasses.Field[Any]]) -> dataclasses.Field[Any]:
    """The parameter whose unit the text has. Raises `InvalidValue` where that is not clear."""
    if len(fields) == 1:
        return fields[0]
    fitting = []
    for field in fields:
        with contextlib.suppress(InvalidValue):
            quantity(text, field.metadata["unit"])
            fitting.append(field)
    if len(fitting) != 1:
        units = ", ".join(field.metadata["unit"] for field in fields)
        raise InvalidValue(f"{split_unit(fields[0].name)[0]} is {text!r}; a quantity in one of {units} is accepted")
    return fitting[0]


def _value(text: str, field: dataclasses.Field[Any]) -> Any:
    if field.metadata.get("file"):
        return file_text(text)
    return text


def file_text(name: str) -> str:
    """The text of a file of this machine; what has several lines is the text itself. Raises `InvalidValue`."""
    if "\n" in name:
        return name
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"the file {name!r} cannot be read: {error}") from None
