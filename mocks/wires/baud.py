"""What a receiver at the wrong baud rate makes of a line: the garbage that a real UART gives."""

from __future__ import annotations


def garble(data: bytes, sent_baud: int, received_baud: int) -> bytes:
    """The bytes that a receiver at `received_baud` sees of `data` sent back to back at `sent_baud`, 8N1, then idle.

    Bit for bit: the receiver finds a falling edge, then samples the middle of each of its own bits. So a deviation of
    2 % does no harm, as on a real line, and a stop bit that is not there (framing error) still gives a byte.
    """
    line = [level for byte in data for level in (0, *((byte >> i) & 1 for i in range(8)), 1)]
    ratio = sent_baud / received_baud  # sender's bits in one of the receiver's
    received = bytearray()
    position = 0.0
    while True:
        start = _next_low(line, position)
        if start is None:
            return bytes(received)
        samples = [_level(line, start + (n + 0.5) * ratio) for n in range(10)]
        received.append(sum(bit << i for i, bit in enumerate(samples[1:9])))
        # ready for the next start bit from the middle of the stop bit on; after a framing error once the line is high
        position = start + 9.5 * ratio
        while not _level(line, position):
            position += 1


def _level(line: list[int], position: float) -> int:
    index = int(position)
    return line[index] if index < len(line) else 1


def _next_low(line: list[int], position: float) -> float | None:
    index = int(position)
    while index < len(line):
        if line[index] == 0:
            return max(position, float(index))
        index += 1
    return None
