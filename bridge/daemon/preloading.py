"""What takes long to import, imported before a daemon starts: in a run, a second of importing is a second in which no
limit is checked."""

from __future__ import annotations

from importlib import import_module

#: What analysis imports only when it is called, so that the command line starts at once.
_SLOW = ("scipy.special", "scipy.signal", "scipy.optimize", "scipy.stats", "scipy.ndimage")


def preload() -> None:
    """Takes about a second, the first time."""
    for name in _SLOW:
        import_module(name)
