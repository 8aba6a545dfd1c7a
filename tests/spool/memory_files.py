"""A disk in memory that knows what was synced, can lose the rest, and can fail at any call.

After a failed sync, what was pending is never durable any more, whatever later syncs say: that is how Linux does it.
Names are durable only when their folder was synced.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SECTOR = 512
Fate = Literal["pending", "durable", "doomed"]


@dataclass
class Change:
    """One change of a file: bytes at a position, or a length. Of a folder: a name set to a file, or None."""

    what: Literal["write", "length", "name"]
    position: int = 0
    data: bytes = b""
    name: str = ""
    file: int | None = None
    fate: Fate = "pending"


def _apply(content: bytearray, change: Change) -> None:
    if change.what == "length":
        del content[change.position :]
        content.extend(bytes(change.position - len(content)))
    else:
        end = change.position + len(change.data)
        content.extend(bytes(max(0, end - len(content))))
        content[change.position : end] = change.data


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        _apply(self.content, change)
        self.changes.append(change)


class MemoryFiles:
    """Implements `Files`. `changed` is called after every change; `fail(call, number)` may return an errno."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.fail: Callable[[str, int], int] = lambda call, number: 0
        self.calls = 0
        self.space = 1 << 40
        self._files: dict[int, _File] = {}
        self._folder: list[Change] = []
        self._open: dict[int, int] = {}
        self._next = 10

    # --- what a test asks ---

    @property
    def open_descriptors(self) -> int:
        return len(self._open)

    def content(self, name: str) -> bytes:
        return bytes(self._files[self._now()[name]].content)

    def overwrite(self, name: str, content: bytes) -> None:
        """As something else than the spool would: durable at once."""
        self._files[self._now()[name]] = _File(bytearray(content))

    def copy(self) -> MemoryFiles:
        """Another disk with the same files, all durable."""
        other = MemoryFiles()
        for name, number in self._now().items():
            other._add(name, bytes(self._files[number].content))
        return other

    def after_power_cut(self, rng: random.Random, keep: float) -> MemoryFiles:
        """A disk as it may be found: each sector and name not synced is there with probability `keep`."""
        other = MemoryFiles()
        names: dict[str, int] = {}
        for change in self._folder:
            if change.fate != "durable" and rng.random() >= keep:
                continue
            if change.file is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.file
        for name, number in names.items():
            content = bytearray()
            for change in self._files[number].changes:
                if change.fate == "durable":
                    _apply(content, change)
                elif change.what == "length":
                    if rng.random() < keep:
                        _apply(content, change)
                else:
                    _apply_torn(content, change, rng, keep)
            other._add(name, bytes(content))
        return other

    # --- Files ---

    def make_folder(self, folder: Path) -> None:
        self._call("make_folder")

    def names(self, folder: Path) -> Sequence[str]:
        self._call("names")
        return list(self._now())

    def create(self, path: Path) -> int:
        self._call("create")
        if path.name in self._now():
            raise FileExistsError(errno.EEXIST, "there")
        self._next += 1
        self._files[self._next] = _File()
        self._folder.append(Change("name", name=path.name, file=self._next))
        self.changed()
        return self._opened(self._next)

    def open(self, path: Path, *, write: bool = False) -> int:
        self._call("open")
        number = self._now().get(path.name)
        if number is None:
            raise FileNotFoundError(errno.ENOENT, "not there")
        return self._opened(number)

    def close(self, fd: int) -> None:
        del self._open[fd]
        self._call("close")

    def size(self, fd: int) -> int:
        self._call("size")
        return len(self._of(fd).content)

    def read(self, fd: int, size: int, position: int) -> bytes:
        self._call("read")
        assert size <= max(64, len(self._of(fd).content)), "more is asked for than the file holds"
        return bytes(self._of(fd).content[position : position + size])

    def write(self, fd: int, data: bytes | memoryview, position: int) -> int:
        # a disk that is full takes a part first
        refused = self._refusal("write")
        if refused == errno.ENOSPC and len(data) > 1:
            self.fail = _once_more(self.fail, self.calls + 1, errno.ENOSPC)
            data = data[: len(data) // 2]
        elif refused:
            raise OSError(refused, os.strerror(refused))
        self._of(fd).change(Change("write", position, bytes(data)))
        self.changed()
        return len(data)

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate")
        self._of(fd).change(Change("length", size))
        self.changed()

    def allocate(self, fd: int, size: int) -> None:
        self._call("allocate")
        self._of(fd).change(Change("length", size))
        self.changed()

    def fdatasync(self, fd: int) -> None:
        self._sync("fdatasync", self._of(fd).changes)

    def fsync(self, fd: int) -> None:
        self._sync("fsync", self._of(fd).changes)

    def sync_folder(self, folder: Path) -> None:
        self._sync("sync_folder", self._folder)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        number = self._now()[old.name]
        self._folder += [Change("name", name=new.name, file=number), Change("name", name=old.name)]
        self.changed()

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        if path.name not in self._now():
            raise FileNotFoundError(errno.ENOENT, "not there")
        self._folder.append(Change("name", name=path.name))
        self.changed()

    def free(self, folder: Path) -> int:
        self._call("free")
        return self.space

    # --- inside ---

    def _add(self, name: str, content: bytes) -> None:
        self._next += 1
        change = Change("write", 0, content, fate="durable")
        self._files[self._next] = _File(bytearray(content), [change])
        self._folder.append(Change("name", name=name, file=self._next, fate="durable"))

    def _now(self) -> dict[str, int]:
        names: dict[str, int] = {}
        for change in self._folder:
            if change.file is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.file
        return names

    def _opened(self, number: int) -> int:
        fd = 1000 + self.calls
        self._open[fd] = number
        return fd

    def _of(self, fd: int) -> _File:
        return self._files[self._open[fd]]

    def _sync(self, call: str, changes: list[Change]) -> None:
        refused = self._refusal(call)
        for change in changes:
            if change.fate == "pending":
                change.fate = "doomed" if refused and call != "sync_folder" else "pending" if refused else "durable"
        if refused:
            raise OSError(refused, os.strerror(refused))
        self.changed()

    def _refusal(self, call: str) -> int:
        self.calls += 1
        return self.fail(call, self.calls)

    def _call(self, call: str) -> None:
        if refused := self._refusal(call):
            raise OSError(refused, os.strerror(refused))


def _once_more(fail: Callable[[str, int], int], number: int, code: int) -> Callable[[str, int], int]:
    return lambda call, at: code if at == number else fail(call, at)


def _apply_torn(content: bytearray, change: Change, rng: random.Random, keep: float) -> None:
    """Each sector of the file that the write touches is there, or not."""
    position, end = change.position, change.position + len(change.data)
    while position < end:
        sector_end = min(end, (position // SECTOR + 1) * SECTOR)
        if rng.random() < keep:
            piece = change.data[position - change.position : sector_end - change.position]
            _apply(content, Change("write", position, piece))
        position = sector_end
