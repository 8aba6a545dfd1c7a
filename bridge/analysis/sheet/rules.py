"""The conditions of bins: comparisons of measured quantities with limits, written as text.

    ocv_v < ocv_v.low and (z_1khz_ohm < short_ohm or phase_1khz_deg > -2)

Names are quantities of a cell, limits (`ocv_v.low`) and constants. There are `and or not`, comparisons (also chained),
`+ - * /`, `abs(x)`, `measured(x)`, `true` and `false`. A quantity that was not measured is neither above nor below
anything: every comparison with it is false. Nothing of this is executed as Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import InvalidValue
from drivers.quantities import quantity

#: values by name: those of the cell, and the limits (NaN or absent: not measured)
Values = Mapping[str, float]
_Evaluate = Callable[[Values], Any]

_COMPARE: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b if b else math.nan,
}

#: Longer text is no condition of a person's.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Rule:
    """`names` are all quantities, limits and constants that the text refers to."""

    text: str
    names: frozenset[str]
    _evaluate: _Evaluate

    def __call__(self, values: Values) -> bool:
        return bool(self._evaluate(values))


def parse_rule(text: str, where: str = "rule") -> Rule:
    """Raises `InvalidValue` for what is no condition, saying which part."""
    source = text.strip()
    names: set[str] = set()
    try:
        if len(source) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} characters")
        evaluate = _condition(ast.parse(source, mode="eval").body, names, where)
    except InvalidValue:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two of brackets in brackets
        accepted = "accepted: such as 'ocv_v < ocv_v.low and z_1khz_ohm < 100'"
        raise InvalidValue(f"{where}: {text!r:.500} is no condition: {error}; {accepted}") from error
    return Rule(source, frozenset(names), evaluate)


def _condition(node: ast.expr, names: set[str], where: str) -> _Evaluate:
    """A part that is true or false."""
    if isinstance(node, ast.BoolOp):
        parts = [_condition(value, names, where) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda values: all(part(values) for part in parts)
        return lambda values: any(part(values) for part in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _condition(node.operand, names, where)
        return lambda values: not inner(values)
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        return _comparison(node, names, where)
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        answer = node.id == "true"
        return lambda values: answer
    if _is_call(node, "measured"):
        inner = _number(node.args[0], names, where)  # type: ignore[attr-defined]  # _is_call has seen that it is a call
        return lambda values: math.isfinite(inner(values))
    raise _refusal(node, "a condition", where)


def _comparison(node: ast.Compare, names: set[str], where: str) -> _Evaluate:
    terms = [_number(term, names, where) for term in (node.left, *node.comparators)]
    pairs = list(zip(terms, (_COMPARE[type(op)] for op in node.ops), terms[1:], strict=False))
    if len(pairs) == 1:
        left, compare, right = pairs[0]
        return lambda values: compare(left(values), right(values))
    return lambda values: all(compare(left(values), right(values)) for left, compare, right in pairs)


def _number(node: ast.expr, names: set[str], where: str) -> _Evaluate:
    """A part that is a number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        constant = quantity(node.value, "1", field=where)
        return lambda values: constant
    if isinstance(node, ast.Name):
        return _look_up(node.id, names)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in ("low", "high"):
        return _look_up(f"{node.value.id}.{node.attr}", names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand, names, where)
        return lambda values: -inner(values)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        compute = _ARITHMETIC[type(node.op)]
        left, right = _number(node.left, names, where), _number(node.right, names, where)
        return lambda values: compute(left(values), right(values))
    if _is_call(node, "abs"):
        inner = _number(node.args[0], names, where)  # type: ignore[attr-defined]  # _is_call has seen that it is a call
        return lambda values: abs(inner(values))
    raise _refusal(node, "a number", where)


def _look_up(name: str, names: set[str]) -> _Evaluate:
    names.add(name)
    return lambda values: values.get(name, math.nan)


def _is_call(node: ast.expr, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and len(node.args) == 1
        and not node.keywords
    )


def _refusal(node: ast.expr, wanted: str, where: str) -> InvalidValue:
    return InvalidValue(
        f"{where}: {ast.unparse(node)!r} is not {wanted}; accepted: < <= > >=, and, or, not, + - * /, abs(x), "
        "measured(x), true, false, numbers, names of quantities, limits such as ocv_v.low, and constants"
    )
