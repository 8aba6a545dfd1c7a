"""The file operations of a spool, as a protocol: a test can make any of them fail, or forget what was not synced."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Every operation raises `OSError`. Positions are absolute: no descriptor has a place of its own."""

    def make_folder(self, folder: Path) -> None:
        """Durable, with the folders above it; nothing happens if it is there."""

    def names(self, folder: Path) -> Sequence[str]:
        """The files of a folder, in any order."""

    def create(self, path: Path) -> int:
        """A descriptor of a new, empty file. Raises `FileExistsError`."""

    def open(self, path: Path, *, write: bool = False) -> int:
        """A descriptor of an existing file."""

    def close(self, fd: int) -> None: ...

    def size(self, fd: int) -> int: ...

    def read(self, fd: int, size: int, position: int) -> bytes:
        """Fewer bytes at the end of the file."""

    def write(self, fd: int, data: bytes | memoryview, position: int) -> int:
        """How many bytes were written: perhaps fewer than there are."""

    def truncate(self, fd: int, size: int) -> None: ...

    def allocate(self, fd: int, size: int) -> None:
        """Make the file that long, with zeros, on blocks of its own."""

    def fdatasync(self, fd: int) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def sync_folder(self, folder: Path) -> None:
        """The names of its files, not their content."""

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def free(self, folder: Path) -> int:
        """Bytes that an ordinary user may still write there."""


class OsFiles:
    """The real ones."""

    def make_folder(self, folder: Path) -> None:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            self.sync_folder(each.parent)

    def names(self, folder: Path) -> Sequence[str]:
        return os.listdir(folder)

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path, *, write: bool = False) -> int:
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, size: int, position: int) -> bytes:
        return os.pread(fd, size, position)

    def write(self, fd: int, data: bytes | memoryview, position: int) -> int:
        return os.pwrite(fd, data, position)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        os.posix_fallocate(fd, 0, size)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def free(self, folder: Path) -> int:
        figures = os.statvfs(folder)
        return figures.f_bavail * figures.f_frsize


def write_all(files: Files, fd: int, data: bytes, position: int) -> None:
    """Raises `OSError`; part of it may then be written."""
    view = memoryview(data)
    while view:
        written = files.write(fd, view, position)
        if written <= 0:
            raise OSError(errno.EIO, f"write of {len(view)} bytes wrote {written}")
        view, position = view[written:], position + written


def close_quietly(files: Files, fd: int) -> None:
    """For a descriptor that nothing is expected of any more."""
    with contextlib.suppress(OSError):
        files.close(fd)
