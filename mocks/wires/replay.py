"""An instrument that plays a capture file back: so a recording from a real instrument becomes a test.

The format is that of `drivers.transports.capture`, read here by code of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..instrument import Instrument
from ..world import World
from .usb_device import UsbDescriptor

TO_DEVICE = ">"
FROM_DEVICE = "<"


@dataclass(frozen=True, slots=True)
class Turn:
    """What the client must send (possibly nothing, at the very beginning), and what the instrument then answered."""

    expected: bytes
    answers: tuple[bytes, ...]


class Replay(Instrument):
    """Checks what the client sends against the capture, byte for byte, and answers with what was recorded.

    `difference` is the first deviation in words, empty as long as there is none; from there on the instrument is
    silent. `check` says whether the whole capture was played. `packets` compares write by write, as USB has it; else
    only the stream of bytes counts, not how it was cut.
    """

    wire: ClassVar[str] = "pty"
    #: on a USB wire the device needs an identity, which a capture does not have: set it on a subclass
    usb: ClassVar[UsbDescriptor] = UsbDescriptor(0x0000, 0x0000)

    def __init__(self, world: World, name: str, *, path: str | Path, packets: bool = False) -> None:
        super().__init__(world, name)
        self._turns = read_turns(path)
        self._packets = packets
        self.reset()

    def reset(self) -> None:
        """From the beginning again."""
        self._turn = 0
        self._received = b""
        self.difference = ""

    @property
    def finished(self) -> bool:
        """Whether everything was asked for and answered."""
        return not self.difference and self._turn == len(self._turns)

    def check(self) -> None:
        """Raises `AssertionError` that says where the conversation differed, or how much of the capture is left."""
        if self.difference:
            raise AssertionError(self.difference)
        if not self.finished:
            due = self._turns[self._turn].expected
            raise AssertionError(
                f"the client stopped after {self._turn} of {len(self._turns)} exchanges; it should have sent {due!r}, "
                f"of which came {self._received!r}"
            )

    def client_connected(self) -> None:
        """What the instrument said before it was asked anything."""
        while self._turn < len(self._turns) and not self._turns[self._turn].expected:
            self._answer()

    def receive(self, data: bytes) -> None:
        if self.difference:
            return
        self._received += data
        while self._received:
            if self._turn == len(self._turns):
                self._differ(f"after the end of the capture the client sent {self._received!r}")
                return
            expected = self._turns[self._turn].expected
            if not expected:
                self._answer()
                continue
            if self._packets and self._received != expected:
                self._differ(self._compared(expected))
                return
            if not self._received.startswith(expected):
                if not expected.startswith(self._received):
                    self._differ(self._compared(expected))
                return
            self._received = self._received[len(expected) :]
            self.record.append(expected.decode("latin-1"))
            self._answer()

    def _answer(self) -> None:
        turn = self._turns[self._turn]
        self._turn += 1
        for answer in turn.answers:
            self.send(answer)

    def _compared(self, expected: bytes) -> str:
        at = next(
            (i for i, (a, b) in enumerate(zip(expected, self._received, strict=False)) if a != b),
            min(len(expected), len(self._received)),
        )
        return (
            f"exchange {self._turn + 1}: the client sent {self._received!r}, the capture has {expected!r} (byte {at})"
        )

    def _differ(self, text: str) -> None:
        self.difference = text


def read_turns(path: str | Path) -> list[Turn]:
    """The capture as turns: each thing sent, with what came back before the next was sent.

    Raises `ValueError` if the file is not a capture.
    """
    lines = Path(path).read_text(encoding="ascii").splitlines()
    header: Mapping[str, object] = json.loads(lines[0]) if lines else {}
    if header.get("picobridge_capture") != 1:
        raise ValueError(f"{path} is not a picobridge capture of version 1")
    turns: list[Turn] = []
    expected, answers = b"", []
    for line in lines[1:]:
        fields = json.loads(line)
        data = bytes.fromhex(fields["hex"])
        if fields["dir"] == FROM_DEVICE:
            answers.append(data)
        elif fields["dir"] == TO_DEVICE:
            if expected or answers:
                turns.append(Turn(expected, tuple(answers)))
            expected, answers = data, []
        else:
            raise ValueError(f"{path}: dir is {fields['dir']!r}; accepted: {TO_DEVICE} {FROM_DEVICE}")
    if expected or answers:
        turns.append(Turn(expected, tuple(answers)))
    return turns
