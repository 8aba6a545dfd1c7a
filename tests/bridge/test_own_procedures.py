"""Procedures of a user's own in the configuration of a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.daemon.config import load
from drivers.errors import ConfigurationError

from .conftest import RigMaker


def configuration(folder: Path, text: str, name: str = "mine.py") -> Path:
    (folder / name).write_text(text)
    path = folder / "lab.toml"
    path.write_text(f'[bridge]\nprocedures = ["{name}"]\nrecord = false\n')
    return path


GOOD = """
from bridge.procedures.description import Procedure
from drivers.interfaces import Options

async def run(context, parameters):
    return {"said": "hello"}

PROCEDURE = Procedure(name="hello", summary="says hello", parameters=Options, roles={}, run=run)
"""


async def test_a_file_of_ones_own(rig: RigMaker, tmp_path: Path) -> None:
    config = load(configuration(tmp_path, GOOD))
    async with rig(procedures=config.procedures) as r:
        listed = {entry["name"]: entry for entry in await r.request("procedures")}
        assert listed["hello"]["summary"] == "says hello"
        answer = await r.request("run", procedure="hello", parameters={}, devices={})
        assert (await r.result(answer["run"]))["result"] == {"said": "hello"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "mine.py, line 1: SyntaxError"),
        ("\nraise ValueError('no')", "mine.py, line 2: ValueError: no"),
        ("x = 1", "has no PROCEDURE"),
        ("PROCEDURE = 5", "PROCEDURE is 5; a Procedure, or a list of them, is accepted"),
        (GOOD.replace('"hello", summary', '"cycle", summary'), "procedure 'cycle' is in picobridge already"),
    ],
)
def test_a_file_that_is_no_procedure(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(configuration(tmp_path, text))
    assert message in caught.value.message
    assert "lab.toml: bridge.procedures has" in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = configuration(tmp_path, GOOD)
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ConfigurationError, match="is no Python file that can be read"):
        load(path)
