"""A stream's past as a script gets it: what the daemon's `history` answers, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_INFINITIES = {"Infinity": np.inf, "-Infinity": -np.inf}


@dataclass(frozen=True, slots=True)
class Past:
    """Arrays of shape (n,), a bucket an element: `index` of its first sample, `count` of samples in it, `time_s` of the
    first since `start_time_ns` (UTC), `flags` of all of them, and by column the least and the greatest value; NaN where
    none has a number. `charge_c` is empty unless it was asked for. `missing` are pairs of indices, the second one
    exclusive. `next_index` is up to where the past reaches: less than asked for if there is no more yet.
    """

    stream: str
    first_index: int
    next_index: int
    start_time_ns: int
    index: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    time_s: Floats
    flags: npt.NDArray[np.uint32]
    units: Mapping[str, str]
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    charge_c: Floats
    missing: list[tuple[int, int]]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Past:
        """From the result of a request."""
        buckets = answer["buckets"]
        columns: Mapping[str, Any] = buckets["columns"]
        return cls(
            stream=str(answer["stream"]),
            first_index=int(answer["first_index"]),
            next_index=int(answer["next_index"]),
            start_time_ns=int(answer["start_time_ns"]),
            index=np.array(buckets["index"], np.int64),
            count=np.array(buckets["n"], np.int64),
            time_s=_floats(buckets["t_s"]),
            flags=np.array(buckets["flags"], np.uint32),
            units={name: str(column["unit"]) for name, column in columns.items()},
            low={name: _floats(column["min"]) for name, column in columns.items()},
            high={name: _floats(column["max"]) for name, column in columns.items()},
            charge_c=_floats(buckets.get("charge_c", [])),
            missing=[(int(first), int(after)) for first, after in answer["missing"]],
        )


def _floats(values: list[Any]) -> Floats:
    """JSON has no NaN and no infinities: see docs/mqtt.md."""
    return np.array([np.nan if v is None else _INFINITIES.get(v, v) for v in values], np.float64)
