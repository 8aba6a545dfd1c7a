"""`python -m tests.hil RIG.toml`: say what will be moved or energised, ask, test, report.

Exit status: 0 all passed, 1 something failed, 2 nothing was done (a wrong configuration, or not agreed to).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from drivers.errors import PicobridgeError
from tests.conformance.rig import Rig

from .limits import describe, load
from .plugin import HilPlugin
from .report import Instrument, Report, differences
from .rigs import RealRig, meet, usable_twin

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make hil", description="Test the drivers against real instruments.")
    parser.add_argument("rig", type=Path, metavar="RIG.toml", help="a configuration with tables [hil.<device>]")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--device", action="append", default=[], metavar="NAME", help="only this one (may be repeated)")
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="where the report goes (default hil-reports/<time>)"
    )
    args = parser.parse_args()
    try:
        configuration, limits = load(args.rig)
    except PicobridgeError as error:
        print(error, file=sys.stderr)
        return 2
    unknown = [name for name in args.device if name not in configuration.devices]
    if unknown:
        print(f"--device {unknown[0]} is none of {', '.join(configuration.devices)}", file=sys.stderr)
        return 2
    rigs = [
        RealRig(device, limits[name])
        for name, device in configuration.devices.items()
        if not args.device or name in args.device
    ]
    announce(rigs)
    if not args.yes and not agreed():
        print("Nothing was done.")
        return 2
    now = datetime.now(UTC)
    folder = args.report or Path("hil-reports") / now.strftime("%Y-%m-%dT%H%M%SZ")
    report = test(rigs, now, args.rig)
    report.write(folder)
    print(f"\n{'All passed' if report.passed else 'NOT passed'}; the report is in {folder}/report.md")
    return 0 if report.passed else 1


def announce(rigs: list[RealRig]) -> None:
    print("Connecting switches sources off and stops motion. Then the conformance tests are run; what each instrument")
    print("does meanwhile, at most:\n")
    for rig in rigs:
        print(f"  {rig.name} ({rig.driver} at {rig.config.address})\n    {describe(rig.interface, rig.limits)}")
    print()


def agreed() -> bool:
    try:
        return input("Is that safe now? Type yes to go on: ").strip().lower() == "yes"
    except EOFError:
        return False


def test(rigs: list[RealRig], now: datetime, path: Path) -> Report:
    instruments, chosen = asyncio.run(meet_all(rigs))
    plugin = HilPlugin(chosen)
    ended = ""
    if chosen:
        arguments = [str(ROOT / "tests" / "conformance"), "-q", "-p", "no:cacheprovider", "-o", "timeout=900"]
        status = pytest.main([*arguments, f"--rootdir={ROOT}"], plugins=[plugin])
        ended = "" if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else f"pytest ended with {status!r}"
    for name, missed, why in plugin.left_out:
        print(f"left out: {name}: {missed}: {why}")
    return Report(
        date=now.isoformat(timespec="seconds"),
        version=version("picobridge"),
        configuration=str(path),
        instruments=instruments,
        outcomes=plugin.outcomes,
        left_out=plugin.left_out,
        ended=ended,
        differences=differences(plugin.outcomes),
    )


async def meet_all(rigs: list[RealRig]) -> tuple[list[Instrument], list[Rig]]:
    """Who answers, and the rigs of those that do, each followed by the mock that it is compared with."""
    instruments: list[Instrument] = []
    chosen: list[Rig] = []
    for rig in rigs:
        seen = Instrument(rig.name, rig.driver, rig.config.address, describe(rig.interface, rig.limits))
        try:
            identity = await meet(rig)
        except PicobridgeError as error:
            print(f"{rig.name} is not tested: {error} {error.hint}".rstrip())
            instruments.append(replace(seen, problem=f"{type(error).__name__}: {error}"))
            continue
        twin = await usable_twin(rig)
        instruments.append(replace(seen, identity=asdict(identity), compared=twin is not None))
        chosen += [rig, twin] if twin is not None else [rig]
    return instruments, chosen


sys.exit(main())
