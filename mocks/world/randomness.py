"""Random numbers that are a function of what they are asked for, not of the order in which they are asked.

Counter-based, as Philox is, but cheap for one number at a time: a key is hashed once from names (seed, device,
purpose), and each number is SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014) of key and counter.
"""

from __future__ import annotations

import hashlib
import math

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_UNIT = 2.0**-32


def make_key(*parts: object) -> int:
    """64 bits that belong to these names and numbers."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def bits(key: int, counter: int) -> int:
    """64 random bits."""
    z = (key + (counter + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uniform(key: int, counter: int) -> float:
    """In the open interval 0 to 1."""
    return ((bits(key, counter) >> 32) + 0.5) * _UNIT


def gaussian(key: int, counter: int) -> float:
    """Mean 0, standard deviation 1 (Box and Muller)."""
    z = bits(key, counter)
    radius = math.sqrt(-2.0 * math.log(((z >> 32) + 0.5) * _UNIT))
    return radius * math.cos(2.0 * math.pi * (z & 0xFFFFFFFF) * _UNIT)


def exponential(key: int, counter: int, mean: float) -> float:
    return -mean * math.log(uniform(key, counter))
