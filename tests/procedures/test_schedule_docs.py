"""The examples of docs/schedules.md and of examples/schedules, and the command that checks a schedule."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.procedures.schedule.language import REGISTERS, STEP_QUANTITIES
from bridge.procedures.schedule.parse import parse
from bridge.procedures.schedule.validate import check
from tests.near import near

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schedules.md").read_text()
SHOWN = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
FILES = sorted((ROOT / "examples" / "schedules").glob("*.toml"))


@pytest.mark.parametrize("text", SHOWN, ids=range(len(SHOWN)))
def test_what_the_page_shows_is_accepted(text: str) -> None:
    assert check(parse(text)) == []


def test_the_page_has_every_kind_and_every_test() -> None:
    with pytest.raises(ValueError, match="accepted") as refused:
        parse("[[step]]\ndo = 'x'")
    kinds = str(refused.value).rpartition("accepted: ")[2].replace("cccv", "cc-cv").split(", ")
    assert len(kinds) == 16
    for word in (*kinds, *STEP_QUANTITIES, *REGISTERS):
        assert f"`{word}`" in PAGE, word


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_examples_can_be_run(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-schedule", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["estimate"]["complete"]
    assert shown["estimate"]["duration_s"] > 0
    assert shown["notes"] == [] or all("no time limit" in note for note in shown["notes"])


def test_the_stack_takes_150_cycles(capsys: pytest.CaptureFixture[str]) -> None:
    """Each discharge is 2 h at C/2; a charge at 2C for 0.9 of the capacity, and the taper to C/20: tau ln 40 with
    tau = 0.1 Q / (2C - C/20)."""
    path = ROOT / "examples" / "schedules" / "stack_cv_cc_150.toml"
    assert main(["check-schedule", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["estimate"]
    taper_s = 3600 * 0.1 / (2 - 0.05) * 3.688879454
    assert shown["cycles"] == 150
    assert shown["duration_s"] == near(150 * (0.45 * 3600 + taper_s + 300 + 7200), rel=1e-6)
    assert shown["discharge_ah"] == near(150 * 65e-6)


def test_check_schedule_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "examples" / "schedules" / "nanobattery_fig8a.toml")
    assert main(["check-schedule", path, "--area", "8.28um2"]) == 0
    shown = capsys.readouterr().out
    assert "2. charge: charge at 4.14 pA" in shown  # domain.md, section 1.4: the area that was cut again
    assert "safety: 1.8 V to 4.3 V" in shown
    assert "Assumed: between the voltage limits the cell holds the reference capacity" in shown


def test_what_is_wrong_is_told_with_the_file_s_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[[step]]\ndo = "charge"\ncurrent = "5 V"\nuntil = { voltage = "4.2 V" }\n')
    assert main(["check-schedule", str(wrong)]) == 1
    assert f"{wrong} has 1 problem: step 1: current is '5 V'" in capsys.readouterr().err
    assert main(["check-schedule", str(tmp_path / "none.toml")]) == 1
    assert "none.toml' cannot be read" in capsys.readouterr().err
