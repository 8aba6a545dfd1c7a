"""`picobridge record --group` and `merge`: several recorders that share the load, and what they have as one."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bridge.client import Lab, Labs, SharedStream
from bridge.record.merging import merge
from bridge.record.part_folder import Part, part_folder
from bridge.record.raw_folder import RawFolder
from drivers.errors import PicobridgeError

from .broker_arguments import lab_of, labs_of
from .output import print_json

#: A member's files are made durable this often, and the daemon is told.
_KEEP_S = 1.0
#: A daemon that has not answered by then is told again.
_ANSWER_S = 10.0


def add_merge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "merge",
        help="put together what the recorders of a group have",
        description="One recording for each bridge out of the folders of picobridge record --group: each sample once, "
        "in order. Exit status 1 if samples are missing, or if two folders differ where both have the same one.",
    )
    parser.add_argument("parts", nargs="+", type=Path, metavar="FOLDER", help="of all members")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where the new one goes (default runs/)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=run_merge)


async def run_merge(args: argparse.Namespace) -> int:
    bad = False
    for merged in await asyncio.to_thread(merge, args.parts, args.folder):
        total = merged.total
        bad = bad or bool(total.missing or merged.differing)
        fields = {
            "bridge": merged.bridge,
            "run_folder": str(merged.folder),
            "samples": total.samples,
            "missing": total.missing,
            "duplicated": total.duplicated,
            "torn_bytes": merged.torn,
            "differing": list(merged.differing),
        }
        if args.json:
            print_json(fields)
            continue
        print(f"{merged.bridge}: {total.samples} samples, {total.missing} missing, {total.duplicated} had twice")
        print(f"  {merged.folder}")
        if merged.torn:
            print(f"  {merged.torn} bytes at the ends of files are of blocks that were being written")
        if merged.differing:
            print(f"  parts differ in {', '.join(merged.differing)}")
    return 1 if bad else 0


@dataclass
class _Member:
    """What one process records: of each bridge a folder."""

    group: str
    name: str
    parent: Path
    as_json: bool
    folders: list[RawFolder] = field(default_factory=list)
    streams: list[SharedStream] = field(default_factory=list)

    async def record(self, lab: Lab) -> None:
        """Until cancelled."""
        bridge = lab.bridge.rpartition("/")[2]
        async with lab.shared_samples(self.group, self.name) as blocks:
            folder = await asyncio.to_thread(part_folder, self.parent, Part(self.group, self.name, bridge))
            self.folders.append(folder)
            self.streams.append(blocks)
            if not self.as_json:
                print(f"recording {bridge} into {folder.path}; Ctrl-C ends it", flush=True)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_keep(folder, blocks))
                    async for block in blocks:
                        folder.add(block)
            finally:
                with contextlib.suppress(PicobridgeError, TimeoutError):
                    async with asyncio.timeout(2 * _KEEP_S):
                        await _keep_once(folder, blocks)
                await asyncio.to_thread(folder.finish, complete=False)
                folder.close()


async def _keep(folder: RawFolder, blocks: SharedStream) -> None:
    while True:
        with contextlib.suppress(PicobridgeError, TimeoutError):  # the daemon is away: it is told next time
            async with asyncio.timeout(_ANSWER_S):
                await _keep_once(folder, blocks)
        await asyncio.sleep(_KEEP_S)


async def _keep_once(folder: RawFolder, blocks: SharedStream) -> None:
    ranges = blocks.handed_on()
    await asyncio.to_thread(folder.sync)
    await blocks.recorded(ranges)


async def record_in_group(args: argparse.Namespace) -> int:
    """`picobridge record --group`."""
    member = _Member(args.group, args.member, args.folder, args.json)
    try:
        async with AsyncExitStack() as stack:
            if args.all_bridges:
                following = _all(await stack.enter_async_context(labs_of(args, ask_devices=False)), member)
            else:
                following = member.record(await stack.enter_async_context(lab_of(args, ask_devices=False)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(args.duration):
                    await following
    finally:
        for folder, blocks in zip(member.folders, member.streams, strict=True):
            fields = {"run_folder": str(folder.path), "received": folder.samples, "replayed": blocks.replayed}
            if args.json:
                print_json(fields)
            else:
                print(f"{folder.samples} samples in {folder.path}, {blocks.replayed} of them asked for again")
    return 0


async def _all(labs: Labs, member: _Member) -> None:
    """Every bridge that is there, and those that come."""
    followed: set[str] = set()
    async with asyncio.TaskGroup() as group:
        async for change in labs.changes():
            if change.bridge not in followed:
                followed.add(change.bridge)
                group.create_task(member.record(change.lab))
