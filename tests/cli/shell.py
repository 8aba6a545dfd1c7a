"""A shell on a terminal, in which a test types and presses Tab."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

#: How long a shell may take to answer on a busy machine.
PATIENCE_S = 30.0
_TAB, _HOME, _ENTER = b"\t", b"\x01", b"\r"


class Shell:
    """`setup` are lines that are typed first. Nothing of the user's own configuration is read."""

    def __init__(self, argv: tuple[str, ...], folder: Path, *setup: str) -> None:
        self._terminal, inner = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(folder), "HISTFILE": "/dev/null"}
        self._process = subprocess.Popen(
            argv, stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=environment, start_new_session=True
        )
        os.close(inner)
        self._said = b""
        for line in (*setup, "echo rea''dy"):
            os.write(self._terminal, line.encode() + _ENTER)
        self._until(b"ready\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def complete(self, typed: str) -> str:
        """What stands on the line when Tab was pressed behind `typed`: the shell is made to print it."""
        self._said = b""
        os.write(self._terminal, typed.encode() + _TAB)
        os.write(self._terminal, _HOME + b"echo 'it''s:' " + _ENTER)
        self._until(b"its: ", b"\n")
        return self._said.rpartition(b"its: ")[2].partition(b"\r\n")[0].decode().rstrip()

    def _until(self, mark: bytes, end: bytes = b"") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while mark not in self._said or end not in self._said.rpartition(mark)[2]:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the shell said {self._said!r}, and not {mark!r}"
            self._said += os.read(self._terminal, 4096)
