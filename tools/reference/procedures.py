"""Every procedure: its parameters, its devices, its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.daemon.catalogue import Catalogue

from .fields import accepted, default, kind
from .markdown import code, plain, sentence, table

_INTRODUCTION = """\
# Procedures

`picobridge procedures` prints the same, of your own files too. Each is a command (`picobridge cycle --current 5pA`), a
call (`await lab.run("cycle", {"current": "5 pA"})`) and a request (`run`, [mqtt.md](../mqtt.md#methods)). A parameter
may be named without its unit; on the command line always, and with `-` for `_`. Where two parameters then have one
name, the unit of the value says which is meant.

"""


def text() -> str:
    entries = Catalogue().describe()
    index = table(
        ("procedure", "what it does"), [(f"[{e['name']}](#{e['name']})", plain(e["summary"])) for e in entries]
    )
    return _INTRODUCTION + index + "".join(map(_section, entries))


def _section(entry: Mapping[str, Any]) -> str:
    able = [word for word, can in (("paused", entry["pausable"]), ("resumed", entry["resumable"])) if can]
    said = f" It can be {' and '.join(able)}." if able else ""
    devices = ", ".join(_role(role, wanted) for role, wanted in entry["roles"].items())
    parameters = table(
        ("parameter", "type", "default", "accepted", "what it is"),
        [(code(f["name"]), kind(f), default(f), accepted(f), plain(f["help"])) for f in entry["parameters"]],
    )
    produces = table(("result", "what it is"), [(code(n), plain(t)) for n, t in entry["produces"].items()])
    return (
        f"## {entry['name']}\n\n{plain(sentence(entry['summary']))}{said}\n\n"
        f"Devices: {devices or 'none'}.\n\n{parameters}{produces}"
    )


def _role(role: str, wanted: Mapping[str, Any]) -> str:
    words = [] if role == wanted["interface"] else [f"a {wanted['interface']}"]
    words += [word for word, holds in (("optional", not wanted["required"]), ("several", wanted["several"])) if holds]
    return code(role) + (f" ({', '.join(words)})" if words else "")
