"""What the drivers of things that move have in common."""

from __future__ import annotations

from .errors import PicobridgeError


def lost_in_motion(error: PicobridgeError, advice: str) -> None:
    """Say of an error that it came during a move, and what may be going on at its other end."""
    error.message = f"{error.message}, in the middle of a move"
    error.hint = f"{advice} {error.hint}".strip()
