"""Every class of error: what it means, and what it advises."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from drivers import errors
from drivers.errors import PicobridgeError

from .markdown import code, docstring, plain, row

_INTRODUCTION = """\
# Errors

Each error says what happened, on which device, during which operation, what was sent and received, and what to do. The
command line prints it and ends with status 1; a reply carries it ([replies](../mqtt.md#replies)); the Python client
raises the class again. `except LinkError` also catches what is below it here. All are in `drivers.errors`.

"""


def text() -> str:
    return _INTRODUCTION + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for heading, names in _sections().items():
        yield f"## {heading[:1].upper()}{heading[1:]}\n"
        yield row(("error", "is a", "what it means", "hint, unless it has one of its own"))
        yield row(("---",) * 4)
        for name in names:
            cls: type[PicobridgeError] = getattr(errors, name)
            yield row((code(name), code(cls.__bases__[0].__name__), plain(docstring(cls)), plain(cls.default_hint)))
        yield ""


def _sections() -> dict[str, list[str]]:
    """The classes in the order and under the headings of the source: comments `# --- heading ---`."""
    source = inspect.getsource(errors)
    heads = [
        (number, line.strip("# -")) for number, line in enumerate(source.splitlines(), 1) if line.startswith("# ---")
    ]
    sections: dict[str, list[str]] = {"all of them": []}
    sections.update((heading, []) for _, heading in heads)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            before = [heading for number, heading in heads if number < node.lineno]
            sections[before[-1] if before else "all of them"].append(node.name)
    return sections
