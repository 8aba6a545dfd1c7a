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

from drivers.errors import PicobridgeError

from .registry import Page, page_of, plain_page
from .summary import Samples, Summary

#: A list of more numbers than this is left to the pictures.
_LONG = 12

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
    samples: Sequence[Samples] = (),
    *,
    title: str = "Run report",
    now: datetime | None = None,
) -> Path:
    """Write `report.html` and the pictures (PNG and SVG) into `folder`; returns the page's path.

    `results` are what procedures returned, in order; `samples[i]` are those of the run of `results[i]`. Drawing takes
    about a second a picture: use a thread or a process where that matters.
    """
    each = [*samples, *({} for _ in range(len(results) - len(samples)))]
    sections = [
        _section(folder, str(number), result, own, 2)
        for number, (result, own) in enumerate(zip(results, each, strict=True), start=1)
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


def _section(
    folder: Path, number: str, result: Mapping[str, Any], samples: Samples, level: int, title: str = ""
) -> str:
    """A result and, a level deeper, its parts. `number` is "1", of its first part "1.1"."""
    page, summary, trouble = _summary(result)
    parts = [f"<h{level}>{html.escape(title or summary.title)}</h{level}>"]
    if summary.verdict:
        parts.append(
            f'<p><span class="verdict {summary.tone}">{html.escape(summary.verdict.upper())}</span> '
            f"{html.escape(summary.reason)}</p>"
        )
    notes = [str(text) for text in result.get("notes") or ()]
    pictures, failed = _pictures(folder, number, page, result, samples)
    parts += [f'<p class="note">{html.escape(text)}</p>' for text in (*notes, *trouble, *failed)]
    parts += pictures
    parts.append(_table(summary.rows))
    for table in summary.tables:
        heading = f"<h{level + 1}>{html.escape(table.title)}</h{level + 1}>" if table.title else ""
        parts.append(heading + _table(table.rows, header=table.header))
    if summary.method:
        heading = f"<h{level + 1}>How the numbers were obtained</h{level + 1}>"
        parts.append(heading + _table(summary.method))
    raw = html.escape(json.dumps(_without_series(result), indent=1, ensure_ascii=False))
    parts.append(f"<details><summary>All numbers, in SI units</summary><pre>{raw}</pre></details>")
    for index, part in enumerate(result.get("parts") or (), start=1):
        own = {"procedure": part.get("procedure", ""), **(part.get("result") or {})}
        parts.append(
            _section(folder, f"{number}.{index}", own, samples, min(level + 1, 5), str(part.get("title") or ""))
        )
    return "".join(parts)


def _summary(result: Mapping[str, Any]) -> tuple[Page, Summary, list[str]]:
    """(page, its summary, what went wrong): the plain page's where the procedure's own cannot read the result."""
    page = page_of(str(result.get("procedure", "")))
    try:
        return page, page.summary(result), []
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        plain = plain_page()
        said = f"The page of this procedure cannot read the result ({error!r}); it is shown as it is."
        return plain, plain.summary(result), [said]


def _pictures(
    folder: Path, number: str, page: Page, result: Mapping[str, Any], samples: Samples
) -> tuple[list[str], list[str]]:
    """Draw, write beside the page, and return the images and what went wrong. A page without one picture is better
    than none."""
    try:
        figures = page.figures(result, samples)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, PicobridgeError) as error:
        return [], [f"The pictures could not be drawn: {error!r}"]
    if not figures:
        return [], []
    # matplotlib takes long to import: only who draws pays for it
    from .style import render

    images = []
    for name, figure in figures:
        (folder / f"{number}-{name}.svg").write_bytes(render(figure, "svg"))
        png = render(figure, "png")
        (folder / f"{number}-{name}.png").write_bytes(png)
        encoded = base64.b64encode(png).decode("ascii")
        images.append(f'<img alt="{html.escape(name)}" src="data:image/png;base64,{encoded}">')
    return images, []


def _without_series(value: Any) -> Any:
    """A result less its long lists of numbers, which the pictures show, and its parts, which have their own section."""
    if isinstance(value, Mapping):
        return {key: _without_series(item) for key, item in value.items() if key != "parts"}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > _LONG and all(isinstance(item, int | float | None) for item in value):
            return f"({len(value)} values, in the result's file)"
        return [_without_series(item) for item in value]
    return value


def _table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """The first cell of a row is its heading where the table has none."""
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
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>" if body else ""


def _version() -> str:
    try:
        return version("picobridge")
    except PackageNotFoundError:
        return "(not installed)"
