"""The manual, read by man and judged by mandoc."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

import pytest

from bridge.cli import manual
from bridge.cli.main import build_parser

pytestmark = pytest.mark.shells


def read(folder: Path, name: str) -> tuple[str, str]:
    """As man shows it, and what man complains of."""
    (folder / name).write_text(manual.page(name))
    environment = {**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"}
    said = subprocess.run(
        ["man", "--warnings", "--local-file", str(folder / name)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return said.stdout, said.stderr


def test_man_shows_every_command(tmp_path: Path) -> None:
    shown, complaints = read(tmp_path, "picobridge.1")
    assert complaints == ""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert [name for name in commands.choices if f"\n       {name}" not in shown] == []
    assert "--password-file FILE" in shown
    assert shown.count("--password-file") == 1, "what they share is said once"
    assert "--after-crash" in shown


def test_man_shows_the_configuration(tmp_path: Path) -> None:
    shown, complaints = read(tmp_path, "picobridge.toml.5")
    assert complaints == ""
    assert '\n       url = "embedded"' in shown
    assert "File names are relative to the file they stand in." in " ".join(shown.split())


@pytest.mark.parametrize("name", manual.PAGES)
def test_mandoc_finds_nothing_wrong(tmp_path: Path, name: str) -> None:
    """But for the date, which would change each time a page is made."""
    (tmp_path / name).write_text(manual.page(name))
    judged = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(tmp_path / name)], check=False, capture_output=True, text=True
    )
    complaints = [line for line in (judged.stdout + judged.stderr).splitlines() if "missing date" not in line]
    assert complaints == []
