"""The page of the stage's moves and named positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import si

from .summary import Summary, Table

_AXES = ("x_m", "y_m", "z_m", "tilt_deg", "rotation_deg")


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    rows = [("Stage", str(r["stage"])), ("Position", _pose(r["position"]))]
    if r["procedure"] == "save-position":
        rows += [("Name", str(r["name"])), ("What it is", str(r["text"])), ("Kept in", str(r["file"]))]
        return Summary("Position of the stage saved", str(r["verdict"]), "pass", rows=rows)
    rows += [("Before", _pose(r["before"])), *((name.replace("_", " "), str(v)) for name, v in r["safety"].items())]
    if r.get("name"):
        rows.append(("Name", str(r["name"])))
    if r.get("feature_moved_m"):
        moved = ", ".join(f"{axis} {si(value, 'm')}" for axis, value in zip("xyz", r["feature_moved_m"], strict=True))
        rows.append(("What was under the beam moved by", moved))
    return Summary(
        "Move of the stage",
        str(r["verdict"]),
        "pass",
        rows=rows,
        tables=[Table("Moves", ("move", "to", "reached"), [_leg(leg) for leg in r["legs"]])],
        method=list(r.get("method", {}).items()),
    )


def _leg(leg: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        str(leg["why"]),
        ", ".join(_axis(name, value) for name, value in leg["target"].items()),
        ", ".join(_axis(name, leg["reached"][name]) for name in leg["target"]),
    )


def _pose(position: Mapping[str, Any]) -> str:
    return ", ".join(_axis(name, position[name]) for name in _AXES)


def _axis(name: str, value: float) -> str:
    axis, _, unit = name.rpartition("_")
    return f"{axis} {value * 1e3:.4f} mm" if unit == "m" else f"{axis} {value:g} deg"
