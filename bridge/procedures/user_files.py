"""Procedures in files of a user's own: a file with a `PROCEDURE`, or with a list of them, `PROCEDURES`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from drivers.errors import ConfigurationError

from .description import Procedure
from .registry import PROCEDURES


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
    except Exception as error:
        del sys.modules[name]
        where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError):
            where = [error.lineno]
        line = f", line {where[-1]}" if where else ""
        raise ConfigurationError(f"{path}{line}: {type(error).__name__}: {error}") from error
    found = getattr(module, "PROCEDURES", None)
    if found is None and hasattr(module, "PROCEDURE"):
        found = [module.PROCEDURE]
    if not isinstance(found, Iterable):
        raise ConfigurationError(f"{path} has no PROCEDURE", hint="docs/adding-a-procedure.md shows one.")
    procedures = list(found)
    for procedure in procedures:
        if not isinstance(procedure, Procedure):
            raise ConfigurationError(f"{path}: PROCEDURE is {procedure!r:.80}; a Procedure is accepted")
    return procedures


def load_all(paths: Iterable[Path]) -> list[Procedure]:
    """Of several files. Raises `ConfigurationError`, also where two procedures have the same name."""
    known = dict.fromkeys(PROCEDURES, "picobridge")
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
