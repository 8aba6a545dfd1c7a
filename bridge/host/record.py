"""What `install-host` has changed, so that it can be undone: written before each change."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drivers.errors import PicobridgeError

from .steps import below

FOLDER = Path("/var/lib/picobridge-install")


@dataclass(slots=True)
class Installed:
    """A file. `ours` is the SHA-256 of what was written; `original` the name of the copy of what was there before."""

    path: str
    ours: str
    original: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(slots=True)
class Record:
    """`folders` were made by us, outermost first."""

    files: dict[str, Installed] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    user_made: bool = False

    @staticmethod
    def load(root: Path) -> Record | None:
        """None if nothing is installed."""
        path = below(root, FOLDER) / "record.json"
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            return Record(
                {name: Installed(**values) for name, values in content["files"].items()},
                list(content["folders"]),
                bool(content["user_made"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise PicobridgeError(
                f"{path} cannot be understood: {error}", hint="Undo by hand: docs/host.md."
            ) from error

    def save(self, root: Path) -> None:
        self._remember_missing(FOLDER, root)
        folder = below(root, FOLDER)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(folder / "record.json", json.dumps(asdict(self), indent=1).encode(), 0o600)

    def before(self, path: Path, content: bytes, root: Path) -> None:
        """Remember `path` as it is, unless it is as we wrote it; `content` is what it will be."""
        target, name = below(root, path), str(path)
        known = self.files.get(name)
        entry = Installed(name, digest(content))
        if target.exists():
            old = target.read_bytes()
            if known is not None and digest(old) == known.ours:
                entry.original, entry.mode, entry.uid, entry.gid = known.original, known.mode, known.uid, known.gid
            else:
                status = target.stat()
                entry.original = hashlib.sha256(name.encode()).hexdigest()[:16]
                entry.mode, entry.uid, entry.gid = status.st_mode & 0o7777, status.st_uid, status.st_gid
                write(below(root, FOLDER) / entry.original, old, 0o600)
        self.files[name] = entry
        self._remember_missing(path, root)
        self.save(root)

    def _remember_missing(self, path: Path, root: Path) -> None:
        for parent in reversed(path.parents):
            if not below(root, parent).exists() and str(parent) not in self.folders:
                self.folders.append(str(parent))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """All of it or nothing, also when the power fails; never readable for more than `mode` says."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)
    os.replace(scratch, path)
