"""Limits of the bins: from a file, or from the cells themselves by median and MAD; then frozen, with their origin.

A robust limit is median ± k MAD (part average testing; k counts median absolute deviations as they are, of which one
is 0.674 sigma of a normal distribution). No limit has a default: one that is needed and not there is refused.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers import toml_text
from drivers.calls import split_unit
from drivers.errors import InvalidValue
from drivers.quantities import quantity

#: fewer cells than this say nothing about a lot
FEWEST_CELLS = 8


@dataclass(frozen=True, slots=True)
class Limit:
    """Lowest and highest accepted value of a quantity; infinite where there is none."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a limit is made from the cells: median - `k_low` MAD to median + `k_high` MAD.

    `floor` is the smallest distance from the median: cells that are more alike than the instrument resolves must not
    fail for a count of its converter.
    """

    k_low: float
    k_high: float
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """`limits` by quantity; `constants` are plain numbers that rules may name; `recipes` make what is not there yet.

    `provenance` says where they come from: of a file what it says, of robust ones sheet, cells, median, MAD, k.
    """

    limits: Mapping[str, Limit] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities whose limits have still to be made from cells."""
        return tuple(name for name in self.recipes if name not in self.limits)

    @property
    def names(self) -> frozenset[str]:
        """What rules may refer to: constants, and `quantity.low` and `quantity.high`."""
        bounded = {*self.limits, *self.recipes}
        return frozenset({*self.constants, *(f"{name}.{end}" for name in bounded for end in ("low", "high"))})

    def values(self) -> dict[str, float]:
        """The same as numbers."""
        found = dict(self.constants)
        for name, limit in self.limits.items():
            found |= {f"{name}.low": limit.low, f"{name}.high": limit.high}
        return found

    def completed(self, cells: Mapping[str, npt.ArrayLike], origin: Mapping[str, Any]) -> Limits:
        """With the limits that are missing made from `cells` (values by quantity; what is not finite is left out).

        `origin` is added to the provenance of each. Raises `InvalidValue` if a quantity has too few cells.
        """
        made, told = dict(self.limits), dict(self.provenance)
        for name in self.missing:
            recipe = self.recipes[name]
            limit, how = robust_limit(np.asarray(cells.get(name, ()), dtype=float), recipe, name)
            made[name] = limit
            told[name] = {**how, **origin}
        return Limits(made, self.constants, self.recipes, told)


def robust_limit(values: npt.NDArray[np.float64], recipe: Recipe, name: str) -> tuple[Limit, dict[str, Any]]:
    """Median ± k MAD of the finite `values`, shape (n,), and how it was made. Raises `InvalidValue` for too few."""
    finite = values[np.isfinite(values)]
    if len(finite) < FEWEST_CELLS:
        raise InvalidValue(
            f"limits of {name} are to be made from the sheet, and only {len(finite)} cells have a value; "
            f"at least {FEWEST_CELLS} are needed",
            hint="Take more pilot cells, or give the limits in a file.",
        )
    median = float(np.median(finite))
    mad = float(np.median(np.abs(finite - median)))
    limit = Limit(
        median - max(recipe.k_low * mad, recipe.floor),
        median + max(recipe.k_high * mad, recipe.floor),
    )
    how = {
        "method": "median - k_low MAD to median + k_high MAD",
        "median": median,
        "mad": mad,
        "k_low": recipe.k_low,
        "k_high": recipe.k_high,
        "floor": recipe.floor,
        "cells": len(finite),
    }
    return limit, how


def parse_limits(content: Mapping[str, Any], name: str = "limits") -> Limits:
    """Limits out of a TOML file's content. Raises `InvalidValue` naming table, key and what is accepted."""
    accepted = ("limits", "robust", "constants", "provenance")
    for key in content:
        if key not in accepted:
            raise InvalidValue(f"{name}: {key!r} is not known; accepted: {', '.join(accepted)}")
    limits = {
        quantity_: Limit(
            *(_number(table, end, quantity_, f"{name}: limits.{quantity_}", default)
              for end, default in (("low", -math.inf), ("high", math.inf)))
        )
        for quantity_, table in _tables(content, "limits", ("low", "high"), name)
    }  # fmt: skip
    recipes = {}
    for quantity_, table in _tables(content, "robust", ("k", "k_low", "k_high", "floor"), name):
        where = f"{name}: robust.{quantity_}"
        k = _plain(table, "k", where, None)
        low, high = _plain(table, "k_low", where, k), _plain(table, "k_high", where, k)
        if low is None or high is None or low <= 0 or high <= 0:
            raise InvalidValue(
                f"{where} has k_low {low} and k_high {high}; accepted: k, or both, above 0, such as k = 6"
            )
        recipes[quantity_] = Recipe(low, high, _number(table, "floor", quantity_, where, 0.0))
    constants = {
        key: quantity(value, split_unit(key)[1] or "1", field=f"{name}: constants.{key}")
        for key, value in _table(content, "constants", name).items()
    }
    for quantity_, limit in limits.items():
        if not limit.low < limit.high:
            raise InvalidValue(f"{name}: limits.{quantity_}: low {limit.low:g} is not below high {limit.high:g}")
    return Limits(limits, constants, recipes, _table(content, "provenance", name))


def loads(text: str, name: str = "limits") -> Limits:
    """As `parse_limits`, for TOML text."""
    try:
        return parse_limits(toml_text.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{name} is not TOML: {error}") from error


def dumps(limits: Limits) -> str:
    """As TOML that `loads` reads back to the bit: what is frozen for a lot. Recipes are not written: they are done."""
    lines = ["# Limits, frozen. Made by picobridge; change the lot or remove this file to have others made."]
    lines += ["", "[provenance]"]
    lines += [f"{key} = {_toml(value)}" for key, value in limits.provenance.items() if not isinstance(value, Mapping)]
    for key, value in limits.provenance.items():
        if isinstance(value, Mapping):
            lines += ["", f"[provenance.{key}]", *(f"{k} = {_toml(v)}" for k, v in value.items())]
    if limits.constants:
        lines += ["", "[constants]", *(f"{key} = {_toml(value)}" for key, value in limits.constants.items())]
    for name, limit in limits.limits.items():
        ends = [
            f"{end} = {value!r}" for end, value in (("low", limit.low), ("high", limit.high)) if math.isfinite(value)
        ]
        lines += ["", f"[limits.{name}]", *ends]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _table(content: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, Mapping):
        raise InvalidValue(f"{name}: {key} is {table!r}; a table is accepted")
    return table


def _tables(
    content: Mapping[str, Any], key: str, accepted: tuple[str, ...], name: str
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for quantity_, table in _table(content, key, name).items():
        if not isinstance(table, Mapping) or not table or not set(table) <= set(accepted):
            raise InvalidValue(
                f"{name}: {key}.{quantity_} is {table!r}; a table is accepted with {', '.join(accepted)}"
            )
        yield quantity_, table


def _number(table: Mapping[str, Any], key: str, quantity_: str, where: str, default: float) -> float:
    if key not in table:
        return default
    return quantity(table[key], split_unit(quantity_)[1] or "1", field=f"{where}.{key}")


def _plain(table: Mapping[str, Any], key: str, where: str, default: float | None) -> float | None:
    return quantity(table[key], "1", field=f"{where}.{key}") if key in table else default
