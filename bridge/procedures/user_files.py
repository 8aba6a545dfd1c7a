"""Procedures in files of a user's own: a file with a `PROCEDURE`, or with several of them as a list."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drivers.calls import INTERFACES
from drivers.errors import ConfigurationError
from drivers.interfaces import Options

from .description import Procedure, Role
from .registry import PROCEDURES

#: Names that are taken though they are no module here: the daemon's own procedure.
_RESERVED = ("technique",)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def load(path: Path) -> list[Procedure]:
    """The procedures of a file; the file is executed. Raises `ConfigurationError` naming the file and the reason."""
    # a name of its own, so that two files called alike do not replace each other
    name = f"picobridge_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file that can be read")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            where = [error.lineno]
        line = f", line {where[-1]}" if where else ""
        raise ConfigurationError(f"{path}{line}: {type(error).__name__}: {error}") from error
    found = [getattr(module, attribute) for attribute in ("PROCEDURE", "PROCEDURES") if hasattr(module, attribute)]
    if not found:
        raise ConfigurationError(f"{path} has no PROCEDURE", hint="docs/adding-a-procedure.md shows one.")
    listed = [item for entry in found for item in (entry if isinstance(entry, list | tuple) else [entry])]
    procedures = []
    for procedure in listed:
        if not isinstance(procedure, Procedure):
            raise ConfigurationError(
                f"{path}: PROCEDURE is {procedure!r:.80}; a Procedure, or a list of them, is accepted"
            )
        if (wrong := _mistake(procedure)) is not None:
            raise ConfigurationError(f"{path}: procedure {procedure.name!r}: {wrong}")
        procedures.append(procedure)
    return procedures


def load_all(paths: Iterable[Path]) -> list[Procedure]:
    """Of several files. Raises `ConfigurationError`, also where two procedures have the same name."""
    known = dict.fromkeys((*PROCEDURES, *_RESERVED), "picobridge")
    found = []
    for path in paths:
        for procedure in load(path):
            if procedure.name in known:
                raise ConfigurationError(
                    f"{path}: procedure {procedure.name!r} is in {known[procedure.name]} already; rename one of them"
                )
            known[procedure.name] = str(path)
            found.append(procedure)
    return found


def _mistake(procedure: Procedure) -> str | None:
    """What would only show when somebody starts it."""
    if not isinstance(procedure.name, str) or not _NAME.fullmatch(procedure.name):
        return "its name is no name; accepted: 1 to 32 of a-z 0-9 -, a letter first"
    if not isinstance(procedure.summary, str):
        return f"summary is {procedure.summary!r:.50}; accepted: text"
    options: Any = procedure.parameters
    if not (isinstance(options, type) and issubclass(options, Options)):
        return f"parameters is {options!r:.80}; accepted: a dataclass derived from drivers.interfaces.Options"
    if options is not Options and "__dataclass_fields__" not in vars(options):
        return f"parameters is {options.__name__}, which lacks @dataclass(frozen=True, slots=True, kw_only=True)"
    for field in dataclasses.fields(options):
        if "help" not in field.metadata:
            return f"parameter {field.name!r} is not made with drivers.interfaces.option(..., help=...)"
    for role, wanted in procedure.roles.items():
        if not isinstance(wanted, Role) or wanted.interface not in INTERFACES:
            said = wanted.interface if isinstance(wanted, Role) else wanted
            return f"role {role!r} is {said!r:.50}; accepted: a Role of {', '.join(INTERFACES)}"
    if not inspect.iscoroutinefunction(procedure.run):
        return "run is no async function"
    return None
