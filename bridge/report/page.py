"""The page about a run: one HTML file with its pictures inside, readable without a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drivers.samples import SampleBlock

from . import tables

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --soft: #666; --line: #ddd; --pass: #00734f;
  --fail: #b8430a; --doubt: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #eaeaea; --paper: #161618; --soft: #a5a5a5; --line: #3a3a3c;
  --pass: #4fd6ac; --fail: #ff9a66; --doubt: #f3c24f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
.verdict { font-weight: 700; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .doubt { color: var(--doubt); }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .9rem .2rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid var(--line); } th { font-weight: 600; color: var(--soft); }
td { font-variant-numeric: tabular-nums; } img { width: 100%; background: #fff; border-radius: 6px; }
.note { border-left: 3px solid var(--doubt); padding-left: .8rem; } .soft { color: var(--soft); }
pre { overflow-x: auto; font-size: 12px; } @media print { body { margin: 0; max-width: none; } }
"""


def write_report(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    samples: Sequence[Sequence[SampleBlock]] = (),
    *,
    title: str = "Run report",
    now: datetime | None = None,
) -> Path:
    """Write `report.html` and the pictures (PNG and SVG) into `folder`; returns the page's path.

    `results` are what procedures returned, in order; `samples[i]` are the blocks of `results[i]`, needed for the
    picture of a cycle. Drawing takes about a second: use a thread where that matters.
    """
    blocks = [*samples, *([()] * (len(results) - len(samples)))]
    sections = [
        _section(folder, number, result, own)
        for number, (result, own) in enumerate(zip(results, blocks, strict=True), start=1)
    ]
    when = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S UTC")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{html.escape(title)}</h1><p class=soft>Written {when} by picobridge {_version()}. Samples and results "
        f"are beside this page, in {html.escape(folder.name)}. Currents: positive charges the cell.</p>"
        + "".join(sections)
        + "</body></html>\n"
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _section(folder: Path, number: int, result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> str:
    name = str(result.get("procedure", "result"))
    head, rows, cycles = tables.of(result)
    parts = [f"<h2>{html.escape(head.title)}</h2>"]
    if head.verdict:
        parts.append(
            f'<p><span class="verdict {head.tone}">{html.escape(head.verdict.upper())}</span> '
            f"{html.escape(head.reason)}</p>"
        )
    parts += [f'<p class="note">{html.escape(text)}</p>' for text in result.get("notes", ())]
    picture = _picture(folder, f"{number}-{name}", result, blocks)
    if picture is not None:
        encoded = base64.b64encode(picture).decode("ascii")
        parts.append(f'<img alt="{html.escape(head.title)}" src="data:image/png;base64,{encoded}">')
    parts.append(_table(rows))
    if cycles:
        parts.append(_table(cycles[1:], header=cycles[0]))
    raw = html.escape(json.dumps(tables.without_series(result), indent=1, ensure_ascii=False))
    parts.append(f"<details><summary>All numbers, in SI units</summary><pre>{raw}</pre></details>")
    return "".join(parts)


def _picture(folder: Path, stem: str, result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> bytes | None:
    """Draw, write beside the page, and return the PNG; None where the result has no picture."""
    # matplotlib takes long to import: only who draws pays for it
    from .cycle_figure import cycle_figure
    from .noise_figure import noise_figure
    from .style import render

    if result.get("procedure") == "noise-test":
        figure = noise_figure(result)
    elif result.get("procedure") == "cycle" and any(len(block) for block in blocks):
        figure = cycle_figure(result, blocks)
    else:
        return None
    (folder / f"{stem}.svg").write_bytes(render(figure, "svg"))
    png = render(figure, "png")
    (folder / f"{stem}.png").write_bytes(png)
    return png


def _table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>"
        + "".join(
            f"<{'td' if header or column else 'th'}>{html.escape(cell)}</{'td' if header or column else 'th'}>"
            for column, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _version() -> str:
    try:
        return version("picobridge")
    except PackageNotFoundError:
        return "(not installed)"
