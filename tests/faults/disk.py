"""The disk below the spool, as the kernel shows it when it is full, read-only, slow or broken."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bridge.transfer.spool import OsFiles

#: what changes a disk
CHANGES = ("create", "write", "truncate", "allocate", "fdatasync", "fsync", "sync_folder", "rename", "unlink")


class Disk:
    """Stands between `OsFiles` and the kernel. `refused` counts what was refused, by operation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: Counter[str] = Counter()
        #: while it is clear, syncs of samples do not return
        self.quick = threading.Event()
        self.quick.set()
        self._refuse: dict[str, int] = {}
        self._once: dict[str, int] = {}
        self._shorten = False
        self._written: dict[int, list[tuple[int, int]]] = {}
        for name in (*CHANGES, "free"):
            monkeypatch.setattr(OsFiles, name, self._standing_in(name, getattr(OsFiles, name)))

    def full(self) -> None:
        """No room for another byte."""
        self._refuse = dict.fromkeys(("write", "allocate"), errno.ENOSPC)

    def read_only(self) -> None:
        """As ext4 does by itself when it has found an error."""
        self._refuse = dict.fromkeys(CHANGES, errno.EROFS)

    def whole(self) -> None:
        """In order again."""
        self._refuse = {}

    def full_inside_a_record(self) -> None:
        """The next write takes half of its bytes, and the rest finds no room; then there is some again."""
        self._shorten = True

    def refuse_a_sync(self) -> None:
        """The next sync of samples says EIO. As on Linux, what it was to sync is gone then and later syncs say nothing
        of it."""
        self._once["fdatasync"] = errno.EIO

    def _standing_in(self, name: str, real: Any) -> Any:
        def call(files: OsFiles, *arguments: Any, **options: Any) -> Any:
            if name == "free":
                return 0 if errno.ENOSPC in self._refuse.values() else real(files, *arguments)
            if name == "fdatasync":
                self.quick.wait(60)
            number = self._refuse.get(name) or self._once.pop(name, 0)
            if number:
                self.refused[name] += 1
                if name == "fdatasync":
                    self._forget(*arguments)
                raise OSError(number, os.strerror(number))
            if name == "write":
                return self._write(real, files, *arguments)
            if name == "fdatasync":
                self._written.pop(arguments[0], None)
            return real(files, *arguments, **options)

        return call

    def _write(self, real: Any, files: OsFiles, fd: int, data: Any, position: int) -> Any:
        if self._shorten and len(data) > 1:
            self._shorten = False
            self._once["write"] = errno.ENOSPC
            data = data[: len(data) // 2]
        written = real(files, fd, data, position)
        self._written.setdefault(fd, []).append((position, written))
        return written

    def _forget(self, fd: int) -> None:
        """What the kernel had not yet written."""
        for position, size in self._written.pop(fd, []):
            os.pwrite(fd, bytes(size), position)


def segments(folder: Path) -> list[Path]:
    """The files of samples of a state directory, oldest first."""
    return sorted((folder / "spool").glob("*.seg"))
