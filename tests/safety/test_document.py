"""docs/safety.md says what the code does: its rules, its conditions, its inputs, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from bridge.safety.conditions import CONDITIONS
from bridge.safety.default_rules import DEFAULT_RULES
from bridge.safety.rules import Rule

from .rig import Rig

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its first two lines."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_rule_is_told_with_what_it_does() -> None:
    told = {row[0].strip("`"): row for row in rows("The rules of every rig")}
    rules: dict[str, Rule] = {rule.id: rule for rule in Rig().interlocks.rules.rules}
    assert tuple(told) == DEFAULT_RULES
    for id, rule in rules.items():
        reaction = {"refuse": "", "stop": "stop", "safe_state": "safe state"}[rule.on_violation] if rule.lasts else ""
        assert told[id][2].startswith(reaction), id
        assert bool(told[id][2]) == rule.lasts, id
        override = "never" if rule.override is None else f"by an {rule.override.role}, {rule.override.seconds:g} s"
        assert told[id][3] == override, id


def test_every_condition_and_every_input_is_told() -> None:
    assert {name for row in rows("Rules of one's own") for name in re.findall(r"`(\w+)`", row[0])} == set(CONDITIONS)
    rig = Rig()
    acts = (
        rig.call("stage", "move_by", tilt_deg=1.0),
        rig.call("stage", "move_to", x_m=0.0),
        rig.approach(),
        rig.call("relays", "select", route="cell"),
        rig.technique(),
    )
    read = {
        input.partition(".")[2]
        for act in acts
        for rule in rig.interlocks.rules.rules
        if rule.applies_to(act)
        for input in rule.requires.inputs(act)
    }
    assert set(re.findall(r"`<device>\.(\w+)`", TEXT)) == read


def test_the_evidence_of_every_hazard_exists() -> None:
    named = [row[3].strip("`") for row in rows("Hazards")]
    assert len(named) > 20
    for evidence in named:
        file, _, test = evidence.partition("::")
        tree = ast.parse((ROOT / file).read_bytes())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in names, evidence
