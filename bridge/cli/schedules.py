"""`picobridge check-schedule FILE`: is it right, what does it do, how long does it take; without a daemon."""

from __future__ import annotations

import argparse
from typing import Any

from bridge.analysis.capacity import COULOMB_PER_AH
from bridge.analysis.formatting import duration, si
from bridge.procedures.schedule.estimate import Estimate, estimate
from bridge.procedures.schedule.language import Schedule
from bridge.procedures.schedule.parse import parse, refuse
from bridge.procedures.schedule.plan import describe
from bridge.procedures.schedule.validate import check, notes
from drivers.quantities import quantity

from .experiments import file_text
from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check-schedule",
        help="check a schedule, show its plan and how long it takes",
        description="Check a schedule file and show its plan, its duration and its charge. Needs no daemon and no "
        "device. Exit status 1, with everything that is wrong, if it cannot be run. docs/schedules.md is the language.",
    )
    parser.add_argument("file", metavar="FILE", help="the schedule, TOML")
    parser.add_argument("--area", metavar="m2", help="active area, instead of the schedule's, such as 10um2")
    parser.add_argument("--capacity", metavar="Ah", help="what C-rates refer to, instead of the schedule's")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(function=check_schedule)


async def check_schedule(args: argparse.Namespace) -> int:
    area_m2 = None if args.area is None else quantity(args.area, "m**2", field="area")
    capacity_ah = None if args.capacity is None else quantity(args.capacity, "A*h", field="capacity")
    capacity_c = None if capacity_ah is None else capacity_ah * COULOMB_PER_AH
    schedule = parse(file_text(args.file), file=args.file, area_m2=area_m2, capacity_c=capacity_c)
    refuse(args.file, check(schedule))
    expected = estimate(schedule)
    if args.json:
        print_json(_fields(schedule, expected))
    else:
        print("\n".join(_lines(schedule, expected)))
    return 0


def _fields(schedule: Schedule, expected: Estimate) -> dict[str, Any]:
    return {
        "schedule": schedule.name,
        "plan": describe(schedule),
        "estimate": expected.to_dict(),
        "notes": notes(schedule),
    }


def _lines(schedule: Schedule, expected: Estimate) -> list[str]:
    bound = "" if expected.complete else "more than "
    lines = [
        f"{schedule.name}: {len(schedule.steps)} steps",
        *(f"  {line}" for line in describe(schedule)),
        f"Duration: {bound}{duration(expected.duration_s)}, {expected.cycles} cycles, {expected.steps} steps done",
        f"Charge: {si(expected.charge_c / COULOMB_PER_AH, 'Ah')} in, "
        f"{si(expected.discharge_c / COULOMB_PER_AH, 'Ah')} out",
    ]
    lines += [f"Assumed: {text}" for text in expected.assumptions]
    return lines + [f"Note: {text}" for text in notes(schedule)]
