"""What a manifest says of a run, as it comes to be known: the record on disk and the topic of the run say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.plain import to_plain

from . import manifest
from .files import sha256_of_json


class Description:
    """`content` is the manifest but for its files. `more` is put into it as it is.

    `configuration` is the daemon's, without secrets; its SHA-256 (of its JSON with sorted keys and no blanks) is there
    to compare two runs by.
    """

    def __init__(
        self,
        run: str,
        procedure: str,
        started_ns: int,
        *,
        parameters: Mapping[str, Any] | None = None,
        devices: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        known = to_plain(configuration or {})
        self.content: dict[str, Any] = manifest.new(run, procedure, started_ns) | {
            "parameters": to_plain(parameters or {}),
            "devices": to_plain(devices or {}),
            "configuration": known,
            "configuration_sha256": sha256_of_json(known),
            **to_plain(more),
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Description:
        """Of a run that somebody else has described."""
        made = cls(str(content["run"]), str(content["procedure"]), int(content["started_ns"]))
        made.content |= to_plain(content)
        return made

    @property
    def run(self) -> str:
        return str(self.content["run"])

    @property
    def procedure(self) -> str:
        return str(self.content["procedure"])

    def event(self, event: Mapping[str, Any]) -> None:
        """Something was said about the run, or about one of its devices."""
        self.content["events"].append(event)

    def part(self, procedure: str, title: str, result: Any) -> None:
        """A procedure within this one has ended."""
        self.content["parts"].append({"procedure": procedure, "title": title, "result": to_plain(result)})

    def end(self, status: str, ended_ns: int, error: Mapping[str, Any] | None, **more: Any) -> None:
        """How it ended. `more` is put into the manifest as it is."""
        self.content |= {"status": status, "ended_ns": ended_ns, "ended_utc": manifest.utc(ended_ns)}
        self.content |= {"error": None if error is None else dict(error), **to_plain(more)}
