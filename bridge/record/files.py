"""Files of a record: their names, and how they get to disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from drivers.plain import to_plain


def file_name(text: str) -> str:
    """Text as part of a file name on any system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"


def json_text(value: Any) -> str:
    """`value` through `to_plain` as JSON that a person can read too, every float to its last bit."""
    return json.dumps(to_plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def replace_file(path: Path, text: str) -> None:
    """Write a file so that at any instant there is the old one or the new one, whole, also after a power cut.

    Raises `OSError`.
    """
    temporary = path.with_name(f".{path.name}.new")
    # half a surrogate pair, which somebody may send, becomes the escape that JSON has for it
    with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Names of new files survive a power cut from here on."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Of JSON values, however they are laid out in a file: keys sorted, no blanks, ASCII."""
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
