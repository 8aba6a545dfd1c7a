"""Carrying out a plan for the host, and undoing what was carried out. Blocking; no instrument is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drivers.errors import PicobridgeError, Refused

from .record import FOLDER, Installed, Record, digest, write
from .steps import GROUP, UNIT_FILE, FileStep, Plan, below, booted, reloads

USER = "picobridge"


@dataclass(slots=True)
class Outcome:
    """`done` and `left` are sentences: what was done, what was not and why."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def install(plan: Plan, root: Path) -> Outcome:
    """Raises `PicobridgeError` at the first step that fails; what was done until then can be undone."""
    record = Record.load(root) or Record()
    record.user_made = record.user_made or not _numbers(root / "etc/passwd", USER)
    record.save(root)
    outcome = Outcome()
    for step in plan.steps:
        if isinstance(step, FileStep):
            _install_file(step, record, root, outcome)
        else:
            _run(step.argv)
            outcome.done.append(" ".join(step.argv))
    wrong = verify(plan, root)
    if wrong:
        raise PicobridgeError("installed, but not as it should be: " + "; ".join(wrong))
    return outcome


def _install_file(step: FileStep, record: Record, root: Path, outcome: Outcome) -> None:
    state = step.state(root)
    record.before(step.path, step.content, root)
    target = below(root, step.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    group = _numbers(root / "etc/group", GROUP)
    owner = (0, group[0] if step.secret and group else 0) if os.geteuid() == 0 else None
    write(target, step.content, step.mode, owner)
    if state != "unchanged":
        outcome.done.append(f"{step.path} written")


def _run(argv: Sequence[str]) -> str:
    """What it printed. Raises `PicobridgeError` with what it said, if it fails."""
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PicobridgeError(f"{' '.join(argv)}: {error}") from error
    said = (ended.stderr + ended.stdout).strip()
    if ended.returncode:
        raise PicobridgeError(f"{' '.join(argv)} failed with status {ended.returncode}: {said}")
    return said


def verify(plan: Plan, root: Path) -> list[str]:
    """What is not as it should be, a sentence each."""
    wrong = [f"{step.path} is not what was written" for step in plan.files if step.state(root) != "unchanged"]
    if not _numbers(root / "etc/passwd", USER):
        wrong.append(f"there is no user {USER}")
    if shutil.which("systemd-analyze"):  # it also ends with status 0 where it has something to say
        wrong += _run(("systemd-analyze", "verify", str(below(root, UNIT_FILE)))).splitlines()
    return wrong


# --- the way back ---------------------------------------------------------------------------------------------------


def undoing(root: Path) -> list[str]:
    """What undoing would do, a sentence each. Raises `Refused` if nothing is installed or the daemon runs."""
    record = _installed(root)
    sentences = [_undo_file(entry, root, act=False) for entry in reversed(record.files.values())]
    if record.user_made:
        sentences.append(f"remove the user {USER}, unless records belong to it")
    return [sentence for sentence in sentences if sentence]


def undo(root: Path) -> Outcome:
    """Put back what was there. What was changed since is left as it is."""
    record = _installed(root)
    outcome = Outcome()
    if booted(root):
        _run(("systemctl", "disable", UNIT_FILE.name))
    for entry in reversed(record.files.values()):
        sentence = _undo_file(entry, root, act=True)
        (outcome.left if sentence.startswith("leave") else outcome.done).append(sentence)
    if record.user_made:
        _remove_user(root, outcome)
    for step in reloads(root):
        _run(step.argv)
    shutil.rmtree(below(root, FOLDER))
    for folder in reversed(record.folders):
        _remove_empty(below(root, Path(folder)))
    return outcome


def _installed(root: Path) -> Record:
    record = Record.load(root)
    if record is None:
        raise Refused(f"install-host has installed nothing here ({below(root, FOLDER)} is not there)")
    if booted(root) and _active():
        raise Refused(
            "the service picobridge is running, and undoing would take its unit away",
            hint="When no experiment needs it: sudo systemctl stop picobridge",
        )
    return record


def _active() -> bool:
    argv = ("systemctl", "is-active", "--quiet", UNIT_FILE.name)
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def _undo_file(entry: Installed, root: Path, *, act: bool) -> str:
    target = below(root, Path(entry.path))
    if not target.exists():
        return f"leave {entry.path}: it is not there any more" if not entry.original else _restore(entry, root, act)
    if digest(target.read_bytes()) != entry.ours:
        return f"leave {entry.path}: it was changed since"
    if entry.original:
        return _restore(entry, root, act)
    if act:
        target.unlink()
    return f"remove {entry.path}"


def _restore(entry: Installed, root: Path, act: bool) -> str:
    if act:
        owner = (entry.uid, entry.gid) if os.geteuid() == 0 else None
        write(below(root, Path(entry.path)), (below(root, FOLDER) / entry.original).read_bytes(), entry.mode, owner)
    return f"restore {entry.path} as it was"


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _remove_user(root: Path, outcome: Outcome) -> None:
    """As systemd-sysusers made it, unless files belong to it that would then belong to nobody."""
    kept = [path for path in ("/var/lib/picobridge", "/var/log/picobridge") if below(root, Path(path)).exists()]
    if kept:
        outcome.left.append(f"leave the user {USER}: {', '.join(kept)} belong to it")
        return
    if not _numbers(root / "etc/passwd", USER):
        return
    where = () if root == Path("/") else ("--prefix", str(root))
    _run(("userdel", *where, USER))
    outcome.done.append(f"remove the user {USER}")


def _numbers(file: Path, name: str) -> list[int]:
    """The number of `name` in a passwd or group file; empty if it is not there."""
    if not file.exists():
        return []
    rows = (line.split(":") for line in file.read_text().splitlines())
    return [int(row[2]) for row in rows if len(row) > 2 and row[0] == name and row[2].isdecimal()]
