"""What one recorder of a group got of one bridge: raw blocks as they came, in no order, some of them twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from drivers.errors import InvalidValue

from . import manifest
from .raw_folder import RawFolder

PROCEDURE = "part of a recording"


@dataclass(frozen=True, slots=True)
class Part:
    """Whose part of what."""

    group: str
    member: str
    bridge: str


def part_folder(parent: Path, part: Part) -> RawFolder:
    """A new one, also where this member has left others."""
    return RawFolder(parent, f"{part.group}-{part.member}_{part.bridge}", PROCEDURE, asdict(part))


def part_of(folder: Path) -> Part:
    """Raises `InvalidValue` if the folder is none of a member's."""
    described = manifest.read(folder)
    parameters = described.get("parameters")
    names = [parameters.get(key) if isinstance(parameters, dict) else None for key in ("group", "member", "bridge")]
    if described["procedure"] != PROCEDURE or not all(isinstance(name, str) for name in names):
        raise InvalidValue(f"{folder} is no part of a recording; accepted: folders of picobridge record --group")
    return Part(*map(str, names))
