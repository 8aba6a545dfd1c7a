"""Read what was recorded, whether or not it ended well."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

from . import manifest, verification
from .export import DEFAULT, export_stream
from .raw import SUFFIX, RawReader, merged


@dataclass(frozen=True)
class RunRecord:
    """One folder. Making one raises `InvalidValue` if the folder is none of ours."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> RunRecord:
        return cls(folder, manifest.read(folder))

    @property
    def run(self) -> str:
        return str(self.manifest["run"])

    @property
    def procedure(self) -> str:
        return str(self.manifest["procedure"])

    @property
    def complete(self) -> bool:
        return self.manifest.get("complete") is True

    @property
    def status(self) -> str:
        """As the manifest says; "unfinished" where it still says "running": under way, or cut off by a crash."""
        status = str(self.manifest["status"])
        return "unfinished" if status == "running" else status

    @cached_property
    def result(self) -> Any:
        """What the procedure returned; None if it did not come to that, or returned nothing."""
        try:
            return json.loads((self.folder / manifest.RESULT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise InvalidValue(f"{self.folder / manifest.RESULT} is damaged: {error}") from error

    @property
    def verdict(self) -> str:
        """Of the result, if it has one; else the run's status."""
        verdict = self.result.get("verdict") if isinstance(self.result, Mapping) else None
        return str(verdict) if verdict else self.status

    @property
    def events(self) -> list[dict[str, Any]]:
        """As far as they were written, also after a crash."""
        if self.complete:
            return list(self.manifest["events"])
        try:
            lines = (self.folder / manifest.EVENTS).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = []
        for line in lines[:-1]:  # what follows the last LF was cut off
            try:
                event = json.loads(line) if line else None
            except (ValueError, RecursionError):
                continue  # damaged
            if isinstance(event, dict):
                found.append(event)
        return found

    @property
    def raw_files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def samples(self) -> dict[str, list[SampleBlock]]:
        """All samples, by device (the stem of the file), in as few blocks as hold them."""
        return {path.name.removesuffix(SUFFIX): list(self.blocks(path)) for path in self.raw_files}

    @staticmethod
    def blocks(path: Path) -> Iterator[SampleBlock]:
        """Those of one of the `raw_files`; only one of them is in memory at a time."""
        return merged(RawReader(path))

    def export(self, formats: Collection[str] = DEFAULT) -> list[Path]:
        """Write files of `export.FORMATS` beside the raw ones; returns their paths. Lists them in a complete run's
        manifest."""
        content = self.manifest
        about = {
            "run": self.run,
            "procedure": self.procedure,
            "started_utc": str(content.get("started_utc")),
            "asked_by": str(content.get("asked_by") or ""),
            "software": f"picobridge {(content.get('software') or {}).get('picobridge')}",
            "parameters": json.dumps(content.get("parameters")),
            "devices": json.dumps(
                {name: device.get("identity") for name, device in (content.get("devices") or {}).items()}
            ),
        }
        made = [path for raw in self.raw_files for path in export_stream(raw, formats, about)]
        self.list_files(made)
        return made

    def list_files(self, paths: Collection[Path]) -> None:
        """Add files that were made later to the manifest. One of a run that is under way is its recorder's alone."""
        if self.complete and paths:
            content = manifest.read(self.folder)
            content["files"] |= manifest.describe_files(self.folder, paths)
            manifest.write(self.folder, content)

    def problems(self) -> list[str]:
        """What is wrong with the record, a line each: `verification`."""
        return verification.problems(self.folder, self.manifest)


#: Runs are found in a directory, and in the directories in it.
_DEPTHS = ("*/", "*/*/")


def records(data_dirs: Iterable[Path]) -> list[RunRecord]:
    """All runs below some directories, the oldest first; folders that are none of ours are passed over."""
    found = {}
    for path in (path for data_dir in data_dirs for depth in _DEPTHS for path in data_dir.glob(depth + manifest.NAME)):
        with suppress(InvalidValue):
            found[path.parent.resolve()] = RunRecord.open(path.parent)
    return sorted(found.values(), key=lambda record: (record.manifest["started_ns"], record.run))


def find(name: str, data_dirs: Collection[Path]) -> RunRecord:
    """A run by its id, the name of its folder, or the folder's path. Raises `InvalidValue`."""
    if Path(name).is_dir():
        return RunRecord.open(Path(name))
    known = records(data_dirs)
    fitting = [record for record in known if name in (record.run, record.folder.name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InvalidValue(
            f"run {name!r} is recorded several times; accepted: one of {', '.join(str(r.folder) for r in fitting)}"
        )
    where = ", ".join(str(path) for path in data_dirs) or "(no directory with runs)"
    newest = ", ".join(record.run for record in known[-5:]) or "none"
    raise InvalidValue(
        f"run {name!r} is not recorded in {where}; the newest there: {newest}",
        hint="Give the run's id or its folder, or --folder DIRECTORY where the daemon's data_dir is elsewhere.",
    )
