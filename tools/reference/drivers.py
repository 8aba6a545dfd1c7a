"""Every driver: the devices, the wires and the options that it takes; and how an address is written."""

from __future__ import annotations

from drivers import registry
from drivers.transports import address

from .fields import options_table
from .markdown import code, docstring, sentence

_INTRODUCTION = """\
# Drivers and addresses

`picobridge drivers` prints the same. A driver's options go into `options` of its table `[devices.NAME]`
([configuration](configuration.md)), or after `--option` on the command line. Text with a unit is accepted where an
option has one, and the unit may then be left out of its name.

"""


def text() -> str:
    parts = [_INTRODUCTION]
    for entry in registry.DRIVERS:
        cls = registry.load(entry.driver)
        defaults = [f"{wire}: {key} {value}" for wire, keys in cls.wire_defaults.items() for key, value in keys.items()]
        parts.append(f"## {entry.name}\n\n{sentence(entry.summary)} Interface `{entry.interface}`.\n\n")
        parts.append(f"Wires: {', '.join(map(code, entry.wires))}; for example {code(entry.usual_address)}.")
        parts.append(f" Unless the address says otherwise: {', '.join(defaults)}.\n\n" if defaults else "\n\n")
        parts.append(options_table(cls.options_type))
    parts.append(f"## Addresses\n\n{docstring(address).partition(chr(10))[2].strip()}\n")
    return "".join(parts)
