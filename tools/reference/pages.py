"""Which pages there are, and the whole text of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import client, commands, configuration, drivers, errors, procedures

PAGES: Mapping[str, Callable[[], str]] = {
    "configuration": configuration.text,
    "drivers": drivers.text,
    "commands": commands.text,
    "procedures": procedures.text,
    "errors": errors.text,
    "client": client.text,
}

_NOTE = "<!-- Made out of the code by `make reference`: change it there. -->\n\n"


def page(name: str) -> str:
    return f"{_NOTE}{PAGES[name]().rstrip()}\n"
