"""The table [spool]: how long samples are kept for those who ask for them again.

[spool]
keep = "7 days"                     # at least so long, also after every recorder has them
max_gb = 20                         # at most so much
recorders = ["archive"]             # who must have acknowledged samples before they are deleted
when_full = "stop"                  # stop runs, or "overwrite" the oldest; without recorders it overwrites
commit = "20 ms"                    # samples are on disk so long after they came
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.transfer.topics import checked_name
from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options, option

STOP, OVERWRITE = "stop", "overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolNumbers(Options):
    keep_s: float = option(7 * 86_400.0, unit="s", at_least=0.0, help="how long samples are kept at least")
    max_gb: float = option(20.0, above=0.0, help="how much of the disk they take at most, in 10^9 bytes")
    when_full: str = option(STOP, choices=(STOP, OVERWRITE), help="what happens when that is reached")
    commit_s: float = option(0.02, unit="s", above=0.0, at_most=1.0, help="how long samples are in memory only")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """`recorders` are the names under which recorders acknowledge; what they have not is not deleted."""

    keep_s: float = 7 * 86_400.0
    max_bytes: int = 20_000_000_000
    recorders: tuple[str, ...] = field(default=())
    when_full: str = STOP
    commit_s: float = 0.02

    @property
    def overwrites(self) -> bool:
        """Whether the oldest samples make room; they do where nobody has said that they are to be waited for."""
        return self.when_full == OVERWRITE or not self.recorders


def parse_spool(values: Any) -> SpoolConfig:
    """Raises `InvalidValue` naming the key, its value and what is accepted."""
    if not isinstance(values, Mapping):
        raise InvalidValue(f"spool is {values!r:.100}; accepted: a table [spool]")
    plain = {key: value for key, value in values.items() if key != "recorders"}
    numbers = parse_fields(SpoolNumbers, plain, noun="spool option")
    recorders = values.get("recorders", [])
    if not isinstance(recorders, list):
        raise InvalidValue(f"recorders is {recorders!r:.100}; accepted: a list of names")
    names = tuple(checked_name(name, "recorders has a name that") for name in recorders)
    return SpoolConfig(
        keep_s=numbers.keep_s,
        max_bytes=int(numbers.max_gb * 1e9),
        recorders=names,
        when_full=numbers.when_full,
        commit_s=numbers.commit_s,
    )
