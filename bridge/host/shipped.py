"""The files of udev/, from a checkout or from where pip put them."""

from __future__ import annotations

import sys
from pathlib import Path

from drivers.errors import PicobridgeError

RULES = "70-picobridge.rules"
UNIT = "picobridge.service"
USER = "picobridge.sysusers"
MODULES = "picobridge.modules"


def shipped(name: str) -> str:
    """The text of one of them. Raises `PicobridgeError` naming where it was looked for."""
    folders = (Path(__file__).parents[2] / "udev", Path(sys.prefix) / "share" / "picobridge" / "udev")
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise PicobridgeError(
        f"{name} is not part of this installation; looked in {', '.join(str(folder) for folder in folders)}",
        hint="Install picobridge again.",
    )
