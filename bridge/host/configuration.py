"""The configuration, moved to /etc/picobridge with the files that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers import toml_text
from drivers.errors import Refused

FOLDER = Path("/etc/picobridge")
#: keys of the configuration that name files, by table
_FILES = {"broker": ("password_file", "ca", "cert", "key"), "web": ("cert", "key", "ca")}


def installed_files(config: Path) -> dict[Path, bytes]:
    """Where each file goes, and what is in it; the first is the configuration itself.

    A configuration below /etc/picobridge stays where it is. Raises `Refused` for a file that it names elsewhere than
    in or below its own folder.
    """
    config = config.absolute()
    if config.is_relative_to(FOLDER):
        return {config: config.read_bytes()}
    files = {FOLDER / "lab.toml": config.read_bytes()}
    content = toml_text.loads(config.read_text(encoding="utf-8"))
    for key in ("state_dir", "data_dir"):
        if (text := content.get("bridge", {}).get(key, "")) and not Path(text).expanduser().is_absolute():
            raise Refused(
                f"{config}: bridge.{key} is {text!r}, which would be below {FOLDER}; accepted: a whole path",
                hint="Or leave it out: the service keeps its data in /var/lib/picobridge.",
            )
    for text in _named(content):
        path = Path(text).expanduser()
        if path.is_absolute():
            continue  # stays where it is
        if not (config.parent / path).resolve().is_relative_to(config.parent.resolve()):
            raise Refused(
                f"{config} names {text}, which is not in its folder and would not be found from {FOLDER}",
                hint="Give the whole path, beginning with /, or put the file beside the configuration.",
            )
        files[FOLDER / path] = (config.parent / path).read_bytes()
    return files


def _named(content: Mapping[str, Any]) -> Iterator[str]:
    for table, keys in _FILES.items():
        named = (content.get(table, {}).get(key) for key in keys)
        yield from (value for value in named if isinstance(value, str))
    yield from (value for value in content.get("bridge", {}).get("procedures", []) if isinstance(value, str))
