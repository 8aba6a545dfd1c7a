"""What can be set of a spool."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import InvalidValue

#: What to do when `max_bytes` or `reserve_bytes` is reached.
WHEN_FULL = ("stop", "overwrite")


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """Times in seconds, sizes in bytes. Raises `InvalidValue`.

    `commit_s`: blocks are made durable together, at most this long after they came. `segment_bytes`, `segment_s`: a
    file is closed when it is this long or this old. `queue_bytes`: what may wait in memory before the spool is `full`.
    `max_bytes`: what all segments may take. `keep_s`: even what every recorder has is kept this long. `reserve_bytes`:
    so much of the disk is left free. `when_full`: "stop" keeps everything and says `exhausted`, so that the caller ends
    its runs; "overwrite" lets the oldest segments go. `retry_s`: how long to wait after the disk refused twice.
    """

    commit_s: float = 0.02
    segment_bytes: int = 64_000_000
    segment_s: float = 600.0
    queue_bytes: int = 64_000_000
    max_bytes: int = 20_000_000_000
    keep_s: float = 7 * 86_400.0
    reserve_bytes: int = 500_000_000
    when_full: str = "stop"
    retry_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("commit_s", "keep_s", "reserve_bytes", "retry_s"):
            if not getattr(self, name) >= 0:
                raise InvalidValue(f"{name} is {getattr(self, name)!r}; accepted: 0 or more")
        for name in ("segment_bytes", "segment_s", "queue_bytes", "max_bytes"):
            if not getattr(self, name) > 0:
                raise InvalidValue(f"{name} is {getattr(self, name)!r}; accepted: more than 0")
        if self.segment_bytes >= 1 << 31:
            raise InvalidValue(f"segment_bytes is {self.segment_bytes}; accepted: less than 2 GiB")
        if self.when_full not in WHEN_FULL:
            raise InvalidValue(f"when_full is {self.when_full!r}; accepted: {' or '.join(WHEN_FULL)}")

    @property
    def segment_limit(self) -> int:
        """How long a segment really may be: small enough that a few of them fit into `max_bytes`."""
        return min(self.segment_bytes, max(1, self.max_bytes // 4))
