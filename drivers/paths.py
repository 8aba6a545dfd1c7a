"""Names of files out of a text that anybody may have written."""

from __future__ import annotations

from pathlib import Path

from .errors import InvalidValue


def expanded(text: str, folder: Path) -> Path:
    """The path, relative to `folder`, with `~` as the user's home. Raises `InvalidValue` if it can be no path."""
    try:
        if "\0" not in text:
            return folder / Path(text).expanduser()
    except RuntimeError:
        pass  # ~nobody
    raise InvalidValue(f"{text!r:.200} is no path; accepted: such as '/data/runs', or '~/runs' in one's own home")
