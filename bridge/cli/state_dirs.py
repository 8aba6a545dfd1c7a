"""Where daemons of this machine keep their state, unless they were told otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def state_dirs() -> list[Path]:
    """Those that may be: systemd's, this user's, the service's."""
    return [
        *(Path(part) for part in os.environ.get("STATE_DIRECTORY", "").split(":") if part),
        *sorted((Path.home() / ".local" / "state" / "picobridge").glob("*")),
        Path("/var/lib/picobridge"),
    ]
