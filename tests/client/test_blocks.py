"""What the indices of blocks say about samples that were lost or came twice."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.client.blocks import BlockStream
from bridge.client.connection import Listener
from bridge.transfer.codec import encode
from bridge.transfer.mqtt import Incoming
from drivers.samples import TIME, SampleBlock


def stream_of(*ranges: tuple[int, int]) -> tuple[BlockStream, list[tuple[int, int]]]:
    """A stream that has taken blocks of these indices (first, next), and which of them it has handed on."""
    listener = Listener(("samples",), replay=False)
    for first, following in ranges:
        block = SampleBlock.of((TIME,), {"time_s": np.arange(first, following)}, first_index=first)
        listener.offer(Incoming("samples", encode(block)))
    stream = BlockStream(listener)
    taken = []
    while (found := stream.take()) is not None:
        taken.append((found.first_index, found.next_index))
    return stream, taken


@pytest.mark.parametrize(
    ("ranges", "handed_on", "received", "missing", "duplicated"),
    [
        ([(0, 10), (10, 15)], [0, 10], 15, 0, 0),
        ([(100, 110), (110, 115)], [100, 110], 15, 0, 0),  # begins in the middle of a run
        ([(0, 10), (12, 15)], [0, 12], 13, 2, 0),
        ([(0, 10), (0, 10), (10, 15)], [0, 10], 15, 0, 10),  # the same once more
        ([(0, 10), (10, 15), (0, 10)], [0, 10], 15, 0, 10),
        ([(0, 10), (8, 15)], [0, 8], 15, 0, 2),
        ([(0, 1), (0, 1)], [0], 1, 0, 1),
    ],
)
def test_lost_and_repeated_samples_are_counted(
    ranges: list[tuple[int, int]], handed_on: list[int], received: int, missing: int, duplicated: int
) -> None:
    stream, taken = stream_of(*ranges)
    assert [first for first, _ in taken] == handed_on
    assert (stream.received, stream.missing, stream.duplicated) == (received, missing, duplicated)


def test_what_is_no_block_is_counted_and_left_out() -> None:
    listener = Listener(("samples",), replay=False)
    listener.offer(Incoming("samples", b"hello"))
    stream = BlockStream(listener)
    assert stream.take() is None
    assert stream.malformed == 1
