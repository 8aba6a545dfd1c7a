"""New inputs out of stored ones, without coverage: flip, cut, insert, duplicate, splice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_EDGES = (
    b"\0",
    b"\xff",
    b"\r",
    b"\n",
    b"\r\n",
    b",",
    b";",
    b'"',
    b"\\",
    b"{",
    b"[",
    b"-",
    b"9" * 20,
    b" " * 20,
    b"1e999",
)


def mutate(dice: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes], limit: int) -> bytes:
    """One of `seeds` after one to eight changes, at most `limit` bytes long. The same dice make the same input."""
    data = dice.choice(seeds)
    for _ in range(1 << dice.randint(0, 3)):
        change = dice.choice(_CHANGES)
        data = change(dice, data, dice.choice(seeds), dice.choice((*tokens, *_EDGES)))
    return data[:limit]


def _span(dice: random.Random, data: bytes) -> tuple[int, int]:
    begin = dice.randint(0, len(data))
    return begin, min(len(data), begin + (1 << dice.randint(0, 6)))


def _flip(dice: random.Random, data: bytes, _: bytes, __: bytes) -> bytes:
    if not data:
        return bytes((dice.randrange(256),))
    place = dice.randrange(len(data))
    return data[:place] + bytes((data[place] ^ 1 << dice.randrange(8),)) + data[place + 1 :]


def _replace(dice: random.Random, data: bytes, _: bytes, token: bytes) -> bytes:
    place = dice.randint(0, len(data))
    return data[:place] + token + data[place + len(token) :]


def _insert(dice: random.Random, data: bytes, _: bytes, token: bytes) -> bytes:
    place = dice.randint(0, len(data))
    return data[:place] + token + data[place:]


def _cut(dice: random.Random, data: bytes, _: bytes, __: bytes) -> bytes:
    begin, end = _span(dice, data)
    return data[:begin] + data[end:]


def _end(dice: random.Random, data: bytes, _: bytes, __: bytes) -> bytes:
    return data[: dice.randint(0, len(data))]


def _duplicate(dice: random.Random, data: bytes, _: bytes, __: bytes) -> bytes:
    begin, end = _span(dice, data)
    return data[:end] + data[begin:end] * dice.choice((1, 1, 2, 30)) + data[end:]


def _splice(dice: random.Random, data: bytes, other: bytes, _: bytes) -> bytes:
    return data[: dice.randint(0, len(data))] + other[dice.randint(0, len(other)) :]


def _random(dice: random.Random, data: bytes, _: bytes, __: bytes) -> bytes:
    place = dice.randint(0, len(data))
    return data[:place] + dice.randbytes(dice.randint(1, 4)) + data[place:]


_CHANGES: tuple[Callable[[random.Random, bytes, bytes, bytes], bytes], ...] = (
    *(_flip, _replace, _insert, _cut, _end, _duplicate, _splice, _random),
)
