"""The client's functions, classes and methods with their docstrings, and the interfaces that its devices have."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from bridge import client
from bridge.client import BlockStream, CompleteStream, Lab, Run, connect
from drivers import interfaces
from drivers.samples import SampleBlock

from .markdown import docstring, plain

_INTRODUCTION = """\
# Client

`from bridge.client import connect`: what a script or a notebook uses. `lab.pstat` is the device called `pstat`, with
the methods of its interface below. Arguments whose names end in a unit take text with a unit (`x_m="1.5 mm"`). Errors
are those of [errors](errors.md), as they were raised in the daemon.

"""

_INTERFACES = ("Potentiostat", "Stage", "Manipulator", "Feedthrough", "Gauge")
#: What a driver owes its base class and a user of the client never calls.
_NOT_FOR_USERS = ("connect", "close", "on_lost", "make_safe")


def text() -> str:
    parts = [_INTRODUCTION, "## Connecting\n\n", _function(connect, "connect")]
    for cls in (Lab, Run, BlockStream, CompleteStream):
        assert cls.__name__ in client.__all__
        parts += _class(cls, cls.__name__)
    parts += _class(SampleBlock, "SampleBlock")
    for name in _INTERFACES:
        parts += _class(getattr(interfaces, name), name)
    return "".join(parts)


def _class(cls: type, title: str) -> Iterator[str]:
    yield f"## {title}\n\n{plain(docstring(cls))}\n\n"
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else inspect.unwrap(member) if callable(member) else None
        if name.startswith("_") or name in _NOT_FOR_USERS or function is None or not docstring(function):
            continue
        if docstring(function).startswith("For `"):
            continue  # of its own package
        yield _function(function, f"{title}.{name}", is_property=isinstance(member, property))


def _function(function: object, title: str, *, is_property: bool = False) -> str:
    return f"### {title}\n\n```text\n{_signature(function, is_property)}\n```\n\n{plain(docstring(function))}\n\n"


def _signature(function: object, is_property: bool) -> str:
    """As in the source, without `self`, on as many lines as it needs."""
    source = inspect.getsource(inspect.unwrap(function))  # type: ignore[arg-type]  # functions, and generators of them
    (node,) = ast.parse(inspect.cleandoc(source) if source[0] != " " else _dedented(source)).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    arguments = node.args
    arguments.args = [argument for argument in arguments.args if argument.arg != "self"]
    told = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    if is_property:
        return f"{node.name}{told}"
    manager = any("contextmanager" in ast.unparse(decorator) for decorator in node.decorator_list)
    prefix = "async with " if manager else "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    one_line = f"{prefix}{node.name}({ast.unparse(arguments)}){told}"
    if len(one_line) <= 110:
        return one_line
    broken = ast.unparse(arguments).split(", ")
    return f"{prefix}{node.name}(\n    " + ",\n    ".join(broken) + f",\n){told}"


def _dedented(source: str) -> str:
    indent = len(source) - len(source.lstrip())
    return "\n".join(line[indent:] for line in source.splitlines())
