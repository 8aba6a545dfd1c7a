"""Files of a user's own: what is wrong with one is told when it is read, not when somebody starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.procedures import user_files
from drivers.errors import ConfigurationError

GOOD = """
from dataclasses import dataclass
from bridge.procedures.description import Procedure, Role
from drivers.interfaces import Options, option

@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Options):
    name: str = option("you", help="whom")

async def run(context, parameters):
    return {"procedure": "hello", "said": f"hello {parameters.name}"}

PROCEDURE = Procedure(name="hello", summary="says hello", parameters=Hello, roles={}, run=run)
"""


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="hello"', 'name="Hello World"', "procedure 'Hello World': its name is no name"),
        ('name="hello"', 'name="technique"', "procedure 'technique' is in picobridge already"),
        ('name="hello"', 'name="noise-test"', "procedure 'noise-test' is in picobridge already"),
        ('summary="says hello"', "summary=None", "summary is None; accepted: text"),
        ("parameters=Hello", "parameters=dict", "a dataclass derived from drivers.interfaces.Options"),
        ("@dataclass(frozen=True, slots=True, kw_only=True)", "", "Hello, which lacks @dataclass"),
        ('option("you", help="whom")', '"you"', "parameter 'name' is not made with drivers.interfaces.option"),
        ("roles={}", 'roles={"smu": Role("smu")}', "role 'smu' is 'smu'; accepted: a Role of potentiostat, stage"),
        ("roles={}", 'roles={"smu": "potentiostat"}', "role 'smu' is 'potentiostat'; accepted: a Role of"),
        ("async def run", "def run", "run is no async function"),
        ("PROCEDURE = ", "import sys; sys.exit(3); PROCEDURE = ", "line 13: SystemExit: 3"),
        ("from dataclasses", "import no_such_module\nfrom dataclasses", "line 2: ModuleNotFoundError: No module named"),
    ],
)
def test_a_mistake_is_told_with_its_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    assert path.read_text() != GOOD
    with pytest.raises(ConfigurationError) as caught:
        user_files.load_all([path])
    assert str(path) in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize("line", ["PROCEDURE = [PROCEDURE, OTHER]", "PROCEDURES = (OTHER,)"])
def test_a_file_may_have_several(line: str, tmp_path: Path) -> None:
    other = 'OTHER = Procedure(name="other", summary="", parameters=Options, roles={}, run=run)\n'
    found = user_files.load(written(tmp_path, f"{GOOD}{other}{line}\n"))
    assert [procedure.name for procedure in found] == ["hello", "other"]


def test_two_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = written(tmp_path / "a", GOOD)
    second = written(tmp_path / "b", GOOD.replace('name="hello"', 'name="hello-again"'))
    assert [procedure.name for procedure in user_files.load_all([first, second])] == ["hello", "hello-again"]
    with pytest.raises(ConfigurationError) as caught:
        user_files.load_all([first, written(tmp_path, GOOD)])
    assert caught.value.message == f"{tmp_path}/mine.py: procedure 'hello' is in {first} already; rename one of them"
