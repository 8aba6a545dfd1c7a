"""What is to be done on the host, as data: shown before it is done."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.daemon.config import load
from drivers.errors import Unsupported

from .configuration import FOLDER, installed_files
from .names import names
from .service_unit import service_unit
from .shipped import MODULES, RULES, USER, shipped

SYSUSERS_FILE = Path("/etc/sysusers.d/picobridge.conf")
UNIT_FILE = Path("/etc/systemd/system/picobridge.service")
RULES_FOLDER = Path("/etc/udev/rules.d")
GROUP = "picobridge"
_PASSWORD = re.compile(r"(?m)^(\s*password\s*=\s*).*")
#: from udev's database to the nodes: permissions and links of what is plugged in already; nothing is sent to a device
TRIGGER = ("udevadm", "trigger", "--action=change", "--subsystem-match=usb", "--subsystem-match=tty")


@dataclass(frozen=True, slots=True)
class FileStep:
    """A file of root's, readable for all; with `secret` for root and the group picobridge only."""

    path: Path
    content: bytes
    secret: bool = False

    @property
    def mode(self) -> int:
        return 0o640 if self.secret else 0o644

    def state(self, root: Path) -> str:
        """ "new", "changed" (there is another one) or "unchanged"."""
        target = below(root, self.path)
        if not target.exists():
            return "new"
        return "unchanged" if target.read_bytes() == self.content else "changed"

    def diff(self, root: Path) -> str:
        """From what is there to what will be; nothing of secrets (a password, a key)."""
        if self.secret and self.path.suffix != ".toml":
            return "(not shown)\n"
        target = below(root, self.path)
        old = _presentable(target.read_bytes() if target.exists() else b"")
        new = _presentable(self.content)
        return "".join(
            difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                f"{self.path} (now)",
                f"{self.path} (then)",
            )
        )


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A program to be run, with its arguments."""

    argv: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    steps: Sequence[FileStep | CommandStep]
    notes: Sequence[str]

    @property
    def files(self) -> list[FileStep]:
        return [step for step in self.steps if isinstance(step, FileStep)]

    def changes(self, root: Path) -> bool:
        return any(step.state(root) != "unchanged" for step in self.files)

    def describe(self, root: Path) -> list[dict[str, Any]]:
        return [
            {"file": str(step.path), "state": step.state(root), "mode": f"{step.mode:04o}"}
            if isinstance(step, FileStep)
            else {"command": list(step.argv), "why": step.why}
            for step in self.steps
        ]


def _presentable(content: bytes) -> str:
    return _PASSWORD.sub(r"\1(not shown)", content.decode("utf-8", errors="replace"))


def below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def plan(program: Path, config_path: Path | None, root: Path, shared: Mapping[Path, str]) -> Plan:
    """What installing takes. `shared` are files for every user of this host, by path.

    Raises `ConfigurationError` for a configuration that is wrong, `Refused` for one that the service could not use,
    `Unsupported` without systemd.
    """
    if shutil.which("systemd-sysusers") is None:
        raise Unsupported(
            "this host has no systemd-sysusers", hint="Without systemd, follow docs/host.md (By hand, without systemd)."
        )
    config = load(config_path) if config_path is not None else None
    files = installed_files(config_path) if config_path is not None else {}
    installed = next(iter(files), FOLDER / "lab.toml")
    notes = []
    steps: list[FileStep | CommandStep] = [
        FileStep(SYSUSERS_FILE, shipped(USER).encode()),
        CommandStep(("systemd-sysusers", *_root_option(root), SYSUSERS_FILE.name), "make the user picobridge"),
        FileStep(Path("/etc/modules-load.d/picobridge.conf"), shipped(MODULES).encode()),
        FileStep(RULES_FOLDER / RULES, shipped(RULES).encode()),
        FileStep(UNIT_FILE, service_unit(program, installed, config).encode()),
        *(FileStep(path, content.encode()) for path, content in shared.items()),
    ]
    if config is not None:
        rules, left_out = names(config.devices, str(installed))
        notes += [f"no name below /dev/picobridge for {sentence}" for sentence in left_out]
        steps.append(FileStep(RULES_FOLDER / "71-picobridge-names.rules", rules.encode()))
        steps += [FileStep(path, content, secret=True) for path, content in files.items()]
    else:
        notes.append(f"no configuration given: write {installed}, or name one: picobridge install-host lab.toml")
    steps += reloads(root)
    return Plan(steps, notes)


def booted(root: Path) -> bool:
    """Whether systemd runs this host (sd_booted(3)), and it is this host that is meant."""
    return root == Path("/") and Path("/run/systemd/system").is_dir()


def reloads(root: Path) -> list[CommandStep]:
    """Nothing for another root or in a container: what is running there reads the files when it starts."""
    if not booted(root):
        return []
    return [
        CommandStep(("udevadm", "control", "--reload"), "let udev read the rules"),
        CommandStep(TRIGGER, "names and permissions for what is plugged in already"),
        CommandStep(("systemctl", "daemon-reload"), "let systemd read the unit"),
    ]


def _root_option(root: Path) -> tuple[str, ...]:
    return () if root == Path("/") else (f"--root={root}",)
