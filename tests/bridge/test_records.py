"""Whether a run of a name is recorded, asked for each run of a daemon that works for weeks."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bridge.daemon.config import Config
from bridge.daemon.records import Records


def records(folder: Path) -> Records:
    other: Any = SimpleNamespace(interlocks=SimpleNamespace(), audit=None)
    return Records(Config(state_dir=folder / "state", data_dir=folder / "runs"), other, other, other, other)


async def test_a_name_is_found_whatever_the_procedure(tmp_path: Path) -> None:
    kept = records(tmp_path)
    assert not await kept.has("20261124-141446-1"), "there is no folder yet"
    (tmp_path / "runs" / "20261124-141446-1_cycle").mkdir(parents=True)
    assert await kept.has("20261124-141446-1")
    assert not await kept.has("20261124-141446-11")
    assert not await kept.has("20261124-141446")


async def test_nothing_is_kept_of_a_name_that_was_asked_for(tmp_path: Path) -> None:
    """The soak's finding: a pattern of each name stayed in memory."""

    def patterns() -> int:
        return sum(isinstance(each, re.Pattern) for each in gc.get_objects())

    (tmp_path / "runs").mkdir()
    kept = records(tmp_path)
    before = patterns()
    for number in range(50):
        await kept.has(f"20261124-141446-{number}")
    assert patterns() - before < 10
