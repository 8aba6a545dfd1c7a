"""The page's libraries are those of npm, and the page is in the package."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STATIC = ROOT / "bridge" / "web" / "static"
VENDOR = STATIC / "vendor"


def test_each_library_is_what_npm_has() -> None:
    recorded = {
        file["to"]: file["sha256"]
        for package in json.loads((VENDOR / "versions.json").read_text())
        for file in package["files"]
    }
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del here["versions.json"]
    assert here == recorded


def test_each_library_has_its_licence_beside_it() -> None:
    for package in json.loads((VENDOR / "versions.json").read_text()):
        assert package["licence"] in ("MIT", "OFL-1.1")
        assert any(file["to"].endswith(".LICENSE") for file in package["files"])


def test_the_page_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["bridge.web"]
    packed = {path for pattern in patterns for path in (STATIC.parent).glob(pattern) if path.is_file()}
    assert packed == {path for path in STATIC.rglob("*") if path.is_file()}


def test_all_modules_are_asked_for_at_once() -> None:
    """Not one after the other, as each is found to need the next."""
    asked = set(re.findall(r'"modulepreload" href="/static/([^"]+)"', (STATIC / "index.html").read_text()))
    own = {path.relative_to(STATIC).as_posix() for path in (STATIC / "js").rglob("*.js")}
    vendor = {path.relative_to(STATIC).as_posix() for path in VENDOR.glob("*.js")}
    assert asked == own - {"js/main.js", "js/theme-first.js"} | vendor


def test_the_page_loads_nothing_from_elsewhere() -> None:
    own = [path for path in STATIC.rglob("*") if path.suffix in (".html", ".js", ".css") and path.parent != VENDOR]
    assert len(own) > 10
    for path in own:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text, path
        assert "http://" not in text, path
