"""The parts of a group's recorders as one recording: each sample once, in order, as one recorder would have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

from bridge.transfer.codec import decode_at
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

from .part_folder import part_of
from .raw import SUFFIX, StreamCount
from .raw_folder import RawFolder


@dataclass(frozen=True, slots=True)
class Merged:
    """`torn` are bytes at the ends of files in which a recorder was killed; `differing` streams have samples that two
    parts tell differently, of which the first was taken."""

    folder: Path
    bridge: str
    counts: dict[str, StreamCount]
    torn: int
    differing: tuple[str, ...]

    @property
    def total(self) -> StreamCount:
        """All streams together."""
        counts = self.counts.values()
        return StreamCount(
            samples=sum(count.samples for count in counts),
            missing=sum(count.missing for count in counts),
            duplicated=sum(count.duplicated for count in counts),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block lies. The end of a technique may be a block without samples: it stands before what follows it."""

    first_index: int
    next_index: int
    start_time_ns: int
    file: int
    position: int


def merge(folders: Sequence[Path], parent: Path) -> list[Merged]:
    """One new folder below `parent` for each bridge. Raises `InvalidValue` for a folder that is no part, or parts of
    different groups; `OSError`."""
    parts = {folder: part_of(folder) for folder in dict.fromkeys(folder.resolve() for folder in folders)}
    groups = sorted({part.group for part in parts.values()})
    if len(groups) != 1:
        raise InvalidValue(f"the folders are of the groups {', '.join(groups) or 'none'}; accepted: parts of one group")
    bridges = sorted({part.bridge for part in parts.values()})
    return [
        _merge(bridge, groups[0], [folder for folder, part in parts.items() if part.bridge == bridge], parent)
        for bridge in bridges
    ]


def _merge(bridge: str, group: str, folders: Iterable[Path], parent: Path) -> Merged:
    with ExitStack() as stack:
        contents = [
            stack.enter_context(mmap(file.fileno(), 0, access=ACCESS_READ))
            for folder in folders
            for path in sorted(folder.glob(f"*{SUFFIX}"))
            if path.stat().st_size
            for file in [stack.enter_context(path.open("rb"))]
        ]
        places, torn = _index(contents)
        about = {"group": group, "bridge": bridge}
        folder = stack.enter_context(RawFolder(parent, f"{group}_{bridge}", "recording", about))
        differing = []
        for stream in sorted(places):
            last: SampleBlock | None = None
            for place in sorted(places[stream], key=lambda p: (p.first_index, p.next_index, p.start_time_ns)):
                block, _ = decode_at(contents[place.file], place.position)
                if last is not None and _overlap_differs(last, block):
                    differing.append(stream)
                if last is None or len(block) or not _same_end(last, block):
                    folder.add_in_order(block)
                if last is None or block.next_index >= last.next_index:
                    last = block
        folder.finish(complete=not any(count.missing for count in folder.counts.values()))
        return Merged(folder.path, bridge, dict(folder.counts), torn, tuple(dict.fromkeys(differing)))


def _index(contents: Sequence[mmap]) -> tuple[dict[str, list[_Place]], int]:
    """Every whole block by its stream, and how many bytes are behind the last ones."""
    places: dict[str, list[_Place]] = {}
    torn = 0
    for number, content in enumerate(contents):
        end = 0
        for block, position, end in _blocks(content):  # noqa: B007  # `end` is wanted behind the loop
            place = _Place(block.first_index, block.next_index, block.start_time_ns, number, position)
            places.setdefault(block.stream, []).append(place)
        torn += len(content) - end
    return places, torn


def _blocks(content: mmap) -> Iterator[tuple[SampleBlock, int, int]]:
    """Blocks, where each begins, and where it ends."""
    position = 0
    while position < len(content):
        try:
            block, after = decode_at(content, position)
        except InvalidValue:
            return
        yield block, position, after
        position = after


def _same_end(last: SampleBlock, block: SampleBlock) -> bool:
    """Whether a block without samples tells what is there already."""
    place = last.next_index == block.next_index and last.start_time_ns == block.start_time_ns
    return place and last.end == block.end


def _overlap_differs(last: SampleBlock, block: SampleBlock) -> bool:
    begin, end = max(last.first_index, block.first_index), min(last.next_index, block.next_index)
    if begin >= end:
        return False
    names = [column.name for column in block.columns]
    if names != [column.name for column in last.columns]:
        return True
    return any(_bits(last, name, begin, end) != _bits(block, name, begin, end) for name in names)


def _bits(block: SampleBlock, name: str, begin: int, end: int) -> bytes:
    return np.ascontiguousarray(block[name][begin - block.first_index : end - block.first_index]).tobytes()
