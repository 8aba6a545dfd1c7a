"""MethodSCRIPT lines a second, in a process of its own as `benchmarks/parse_methodscript.py` also runs by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .results import Target

_PROGRAM = Path(__file__).with_name("parse_methodscript.py")


def targets(result: dict[str, Any]) -> list[Target]:
    return [Target("MethodSCRIPT parser over the line-by-line one", result["ratio"], ">=", 10.0)]


def run(quick: bool) -> dict[str, Any]:
    """It is short by itself."""
    finished = subprocess.run([sys.executable, str(_PROGRAM)], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result
