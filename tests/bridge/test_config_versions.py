"""Configuration files of other versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.config import load
from bridge.daemon.config_versions import STEPS, upgrade
from drivers.errors import ConfigurationError


def rename(old: str, new: str) -> Any:
    return lambda content: {(new if key == old else key): value for key, value in content.items()}


#: As versions to come may need: [instruments] became [things], and that [devices].
LATER = (rename("instruments", "things"), rename("things", "devices"))


@pytest.mark.parametrize(
    "content",
    [{"instruments": {"a": 1}}, {"version": 1, "instruments": {"a": 1}}, {"version": 2, "things": {"a": 1}}],
)
def test_each_step_is_taken_from_the_version_of_the_file(content: dict[str, Any]) -> None:
    before = dict(content)
    assert upgrade(content, "lab.toml", LATER) == {"devices": {"a": 1}}
    assert content == before


def test_what_is_of_this_version_stays() -> None:
    assert upgrade({"version": 3, "things": 1, "devices": 2}, "lab.toml", LATER) == {"things": 1, "devices": 2}


def test_a_file_of_this_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(f'version = {len(STEPS) + 1}\n[bridge]\nname = "bench"\n')
    assert load(path).bridge == "bench"


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text("version = 7\n[thing]\nkey = 1\n")
    with pytest.raises(ConfigurationError, match=r"lab\.toml: version is 7; this picobridge knows") as caught:
        load(path)
    assert (caught.value.detail["version"], caught.value.detail["known"]) == (7, 1)
    assert caught.value.detail["problems"] == [caught.value.message]
    assert caught.value.hint


@pytest.mark.parametrize("version", ["0", "-1", "true", "1.0", '"1"', "[1]"])
def test_a_version_that_is_none(tmp_path: Path, version: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(f"version = {version}\n")
    with pytest.raises(ConfigurationError, match=r"version is .*; accepted: a whole number from 1 to 1"):
        load(path)
