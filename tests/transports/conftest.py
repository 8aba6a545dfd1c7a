"""An instrument simple enough to judge a wire by."""

from __future__ import annotations

from mocks.instrument import Instrument
from mocks.world import World


class Echo(Instrument):
    """Answers each line `X` with `answer to X`."""

    wire = "pty"
    baud = 9600

    def __init__(self, name: str = "echo") -> None:
        super().__init__(World(), name)
        self.reset()

    def reset(self) -> None:
        self._unfinished = b""

    def receive(self, data: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self.record.append(line.decode("latin-1"))
            self.send(b"answer to " + line + b"\n")
