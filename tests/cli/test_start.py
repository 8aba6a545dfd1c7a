"""The command line starts at once, and what it left to be imported later is there before a daemon starts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from bridge.daemon import preloading

ROOT = Path(__file__).parents[2]

LISTING = """
import sys
from bridge.cli.main import build_parser
build_parser("")
print(sorted({name.split(".")[0] for name in sys.modules} & {"scipy", "matplotlib", "pandas", "pyarrow", "impedance"}))
"""


def test_listing_the_commands_imports_nothing_slow() -> None:
    said = subprocess.run([sys.executable, "-c", LISTING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_what_of_scipy_is_imported_late_is_preloaded() -> None:
    late = set()
    for file in (ROOT / "bridge").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "scipy":
                late |= {f"scipy.{name.name}" for name in node.names} if node.module == "scipy" else {str(node.module)}
    assert late == set(preloading._SLOW)
