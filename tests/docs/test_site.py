"""The site as `make docs` builds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["-b", "html", "-W", "--keep-going", "-q", "-d", str(out / ".doctrees"), str(source), str(out)]
    return subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, check=False)


def test_every_page_is_built_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = build(ROOT / "docs", tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.html")}
    assert pages <= built
    assert not [path for path in tmp_path.rglob("*.html") if "https://fonts" in path.read_text(encoding="utf-8")]
    assert "searchindex.js" in {path.name for path in tmp_path.iterdir()}


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", source)
    shutil.copytree(ROOT / "docs" / "_static", source / "_static")
    (source / "index.md").write_text("# A page\n\n[one](nowhere.md) [two](#no-heading) [three](../no/file.toml)\n")
    done = build(source, tmp_path / "out")
    assert done.returncode == 1
    assert [word for word in ("nowhere.md", "no-heading", "file.toml") if word not in done.stderr] == []
