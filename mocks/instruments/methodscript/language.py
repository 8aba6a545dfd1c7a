"""Scripts, checked line by line as the instrument does while it loads them.

The subset: variables and their arithmetic, if and loop, the set-up commands, the measurement loops ocp, ca, cp, cv,
lsv and eis, packets, timer, wait, on_finished. What is wrong comes with the instrument's code, line and column (both
from 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .encoding import literal

#: kinds of arguments: d declares a variable, o writes one, n reads one, v a variable or a number, t a variable type,
#: u a whole number, c a comparison, s a string
_COMMANDS = {
    "var": "d", "store_var": "ovt", "copy_var": "no", "add_var": "ov", "sub_var": "ov", "mul_var": "ov",
    "div_var": "ov", "set_pgstat_chan": "u", "set_pgstat_mode": "u", "set_max_bandwidth": "v", "set_range": "tv",
    "set_range_minmax": "tvv", "set_autoranging": "tvv", "set_acquisition_frac_autoadjust": "v", "set_e": "v",
    "set_i": "v", "cell_on": "", "cell_off": "", "timer_start": "", "timer_get": "o", "wait": "v", "meas": "vot",
    "meas_loop_ocp": "ovv", "meas_loop_ca": "oovvv", "meas_loop_cp": "oovvv", "meas_loop_cv": "oovvvvv",
    "meas_loop_lsv": "oovvvv", "meas_loop_eis": "ooovvvvv", "pck_start": "", "pck_add": "n", "pck_end": "",
    "if": "vcv", "elseif": "vcv", "else": "", "endif": "", "loop": "vcv", "endloop": "", "breakloop": "",
    "send_string": "s", "set_script_output": "u", "abort": "",
}  # fmt: skip
_OPTIONS = {"meas_loop_cv": ("nscans",), "cell_on": ("ocp",)}
_TYPES = re.compile(r"a[a-is-z]|b[ab]|c[a-z]|d[a-d]|e[a-g]|h[a-d]|i[a-d]|j[a-d]")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
FINISH = "on_finished:"
LINE_LIMIT = 255


class ScriptError(Exception):
    def __init__(self, code: int, line: int, column: int) -> None:
        super().__init__(f"!{code:04X}: Line {line}, Col {column}")
        self.code, self.line, self.column = code, line, column


@dataclass
class Node:
    """A command; loops have a `body`, an `if` also its `otherwise` (elseif is an `if` in there)."""

    line: int
    name: str
    arguments: list[str]
    options: dict[str, str] = field(default_factory=dict)
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


@dataclass
class Program:
    body: list[Node]
    finish: list[Node]


class _Loader:
    def __init__(self, refused: frozenset[str]) -> None:
        self._refused = refused
        self._declared: set[str] = set()
        self._program = Program([], [])
        self._finishing = False
        #: open scopes: the node, and where its lines go
        self._scopes: list[tuple[Node, list[Node]]] = []

    def load(self, lines: list[str]) -> Program:
        for number, raw in enumerate(lines, 1):
            self._line(number, raw)
        if self._scopes:
            raise ScriptError(0x4018, len(lines), 1)
        return self._program

    @property
    def _target(self) -> list[Node]:
        if self._scopes:
            return self._scopes[-1][1]
        return self._program.finish if self._finishing else self._program.body

    def _line(self, number: int, raw: str) -> None:
        if len(raw) > LINE_LIMIT:
            raise ScriptError(0x0008, number, LINE_LIMIT + 1)
        text = raw if raw.lstrip().startswith("send_string") else raw.partition("#")[0]
        tokens = [(match[0], match.start() + 1) for match in re.finditer(r'[a-z_]+\([^)]*\)|f?"[^"]*"|\S+', text)]
        if not tokens:
            return
        name, column = tokens[0]
        if name == FINISH:
            if self._finishing or self._scopes:
                raise ScriptError(0x400C, number, column)
            self._finishing = True
            return
        word, _, inner = name.partition("(")
        if inner:  # an option without a command
            raise ScriptError(0x4004, number, column)
        if word not in _COMMANDS:
            raise ScriptError(0x4001, number, column)
        if word in self._refused:
            raise ScriptError(0x001B, number, column)
        node = Node(number, word, [])
        self._arguments(node, tokens[1:], len(raw) + 1)
        self._place(node, column)

    def _arguments(self, node: Node, tokens: list[tuple[str, int]], end: int) -> None:
        kinds = _COMMANDS[node.name]
        for token, column in tokens:
            option = re.fullmatch(r"([a-z_]+)\(([^)]*)\)", token)
            if option is not None:
                if option[1] not in _OPTIONS.get(node.name, ()):
                    raise ScriptError(0x4008, node.line, column)
                node.options[option[1]] = option[2]
                continue
            if len(node.arguments) == len(kinds):
                raise ScriptError(0x420A, node.line, column)
            self._check(kinds[len(node.arguments)], token, node.line, column)
            node.arguments.append(token)
        if len(node.arguments) < len(kinds):
            raise ScriptError(0x4004, node.line, end)

    def _check(self, kind: str, token: str, line: int, column: int) -> None:
        is_name = _NAME.fullmatch(token) is not None
        code = 0
        if kind == "d":
            code = 0x402B if not is_name else 0x4026 if token in self._declared else 0
            self._declared.add(token)
        elif kind in "on":
            code = 0x4208 if not is_name else 0x420B if token not in self._declared else 0
        elif kind == "v":
            known = token in self._declared if is_name else literal(token) is not None
            code = 0 if known else 0x420B if is_name else 0x4039
        elif kind == "t":
            code = 0 if _TYPES.fullmatch(token) else 0x0002
        elif kind == "u":
            code = 0 if re.fullmatch(r"\d+i?", token) else 0x4039
        elif kind == "c":
            code = 0 if token in _COMPARISONS else 0x4004
        elif kind == "s":
            code = 0 if re.fullmatch(r'"[^"]*"', token) else 0x4004
        if code:
            raise ScriptError(code, line, column)

    def _place(self, node: Node, column: int) -> None:
        if node.name in ("endloop", "endif", "else", "elseif"):
            opener = "if" if node.name != "endloop" else "loop"
            if not self._scopes or not self._closes(self._scopes[-1][0], opener):
                raise ScriptError(0x400E, node.line, column)
            scope, _ = self._scopes.pop()
            if node.name == "else":
                self._scopes.append((scope, scope.otherwise))
            elif node.name == "elseif":
                scope.otherwise.append(node)
                self._scopes.append((node, node.body))
            return
        measuring = any(scope.name.startswith("meas_loop") for scope, _ in self._scopes)
        if measuring and node.name.startswith("meas_loop"):
            raise ScriptError(0x400B, node.line, column)
        if measuring and node.name in ("set_e", "set_i"):
            raise ScriptError(0x4032 if node.name == "set_e" else 0x4033, node.line, column)
        if node.name == "breakloop" and not any(self._closes(scope, "loop") for scope, _ in self._scopes):
            raise ScriptError(0x400C, node.line, column)
        self._target.append(node)
        if node.name in ("if", "loop") or node.name.startswith("meas_loop"):
            self._scopes.append((node, node.body))

    @staticmethod
    def _closes(scope: Node, opener: str) -> bool:
        if opener == "if":
            return scope.name in ("if", "elseif")
        return scope.name == "loop" or scope.name.startswith("meas_loop")


def load(lines: list[str], refused: frozenset[str] = frozenset()) -> Program:
    """Raises `ScriptError`. `refused` are commands that this instrument does not have."""
    return _Loader(refused).load(lines)
