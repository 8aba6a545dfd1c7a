"""Completion, in the shells themselves: somebody types and presses Tab."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli import completion

from .shell import Shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab.toml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "_picobridge").write_text(completion.script("zsh"))
    (tmp_path / "picobridge.bash").write_text(completion.script("bash"))
    return tmp_path


@pytest.fixture(params=["bash", pytest.param("zsh", marks=pytest.mark.shells)])
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[Shell]:
    if request.param == "bash":
        argv, setup = ("bash", "--norc", "-i"), ("bind 'set enable-bracketed-paste off'", ". ./picobridge.bash")
    else:
        argv, setup = (
            ("zsh", "-f", "-i"),
            ("bindkey -e", f"fpath=({folder} $fpath)", "autoload -U compinit", "compinit -D -u"),
        )
    with Shell(argv, folder, *setup) as started:
        yield started


def test_commands_options_files_and_names(shell: Shell) -> None:
    for typed, completed in (
        ("picobridge install-h", "picobridge install-host"),
        ("picobridge cycle --voltage-ma", "picobridge cycle --voltage-max"),
        ("picobridge check ", "picobridge check lab.toml"),
        ("picobridge start leak", "picobridge start leak-or-trap"),
        ("picobridge probe zei", "picobridge probe zeiss-remcon"),
        ("picobridge export run --format par", "picobridge export run --format parquet"),
    ):
        assert shell.complete(typed) == completed


@pytest.mark.shells
def test_fish(folder: Path) -> None:
    (folder / "picobridge.fish").write_text(completion.script("fish"))
    asked = "source picobridge.fish; complete --do-complete 'picobridge install-h'"
    fish = shutil.which("fish")
    assert fish is not None
    said = subprocess.run([fish, "--no-config", "-c", asked], cwd=folder, check=True, capture_output=True, text=True)
    assert said.stdout.split("\t")[0] == "install-host"
