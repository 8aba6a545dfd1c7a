"""Figures as files, what was to be reached, and the table in the README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "results"
_README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


@dataclass(frozen=True, slots=True)
class Target:
    """`value` is to be `relation` (">=", "<=", "<") `bound`."""

    what: str
    value: float
    relation: str
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        value = float(self.value)  # numpy's comparisons are no bool that JSON knows
        if self.relation == ">=":
            return value >= self.bound
        return value <= self.bound if self.relation == "<=" else value < self.bound

    @property
    def row(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        met = "yes" if self.met else "**no**"
        return f"{self.what} | {_short(self.value)}{unit} | {self.relation} {_short(self.bound)}{unit} | {met}"


def write(name: str, quick: bool, machine: dict[str, Any], result: dict[str, Any], targets: Sequence[Target]) -> None:
    _FOLDER.mkdir(exist_ok=True)
    content = {
        "benchmark": name,
        "quick": quick,
        "machine": machine,
        "targets": [asdict(target) | {"met": target.met} for target in targets],
        "result": result,
    }
    (_FOLDER / f"{name}.json").write_text(json.dumps(_rounded(content), indent=2) + "\n")


def update_readme(names: Sequence[str]) -> None:
    """The table of the README, from the result files."""
    lines = ["| benchmark | what | measured | target | met | load before |", "|---|---|---|---|---|---|"]
    for name in names:
        path = _FOLDER / f"{name}.json"
        if not path.exists():
            continue
        content = json.loads(path.read_text())
        load = content["machine"]["load_before"][0]
        short = " (quick)" if content["quick"] else ""
        for fields in content["targets"]:
            del fields["met"]
            lines.append(f"| {name}{short} | {Target(**fields).row} | {load} |")
        if name == "throughput":
            ratio = content["result"]["ratio_to_bare_loop"]
            lines.append(f"| {name}{short} | samples a second over the bare loop's | {_short(ratio)} | | | {load} |")
    text = _README.read_text()
    begin, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    _README.write_text(text[:begin] + "\n".join(lines) + "\n" + text[end:])


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _rounded(value: Any) -> Any:
    """Four digits are more than any of this is worth."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
