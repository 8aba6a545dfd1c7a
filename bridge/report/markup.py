"""HTML of the page: one file, no script, nothing loaded, light, fit for A4. Text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from .summary import Summary

_STYLE = """
:root { color-scheme: light; --ink: #1d1d1f; --paper: #fff; --soft: #5c5c61; --line: #ddd; --pass: #00664a;
  --fail: #a83a06; --doubt: #7a5000; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; } h3 { font-size: 1.05rem; margin-top: 1.8rem; } h4, h5, h6 { font-size: .95rem; }
.verdict { font-weight: 700; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .doubt { color: var(--doubt); }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0 1rem; }
td, th { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); min-width: 5rem; } td { font-variant-numeric: tabular-nums; }
td:nth-child(n+3) { overflow-wrap: anywhere; min-width: 4rem; }
img { width: 100%; background: #fff; border-radius: 6px; margin: .4rem 0; }
.note { border-left: 3px solid var(--doubt); padding-left: .8rem; } .soft { color: var(--soft); }
.hash td:last-child { font: 11px/1.6 ui-monospace, monospace; }
summary { cursor: pointer; color: var(--soft); } pre { overflow-x: auto; font-size: 12px; }
@page { size: A4; margin: 16mm; }
@media print { body { margin: 0; padding: 0; max-width: none; font-size: 9.5pt; } h2, h3, h4 { break-after: avoid; }
  img, tr, .note { break-inside: avoid; } img { max-height: 235mm; object-fit: contain; } .wide { overflow: visible; }
  table { font-size: 8.5pt; } td, th { padding-right: .5rem; min-width: 0; }
  details { display: none; } pre { white-space: pre-wrap; font-size: 8pt; } .hash td:last-child { font-size: 7pt; } }
"""


def document(title: str, intro: str, body: str) -> str:
    """A whole page. `intro` is plain text, `body` is HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p class=soft>{escape(intro)}</p>{body}</body></html>\n"
    )


def heading(text: str, level: int) -> str:
    return f"<h{min(level, 6)}>{escape(text)}</h{min(level, 6)}>" if text else ""


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def verdict(summary: Summary) -> str:
    if not summary.verdict:
        return ""
    word = f'<span class="verdict {summary.tone}">{escape(summary.verdict.upper())}</span>'
    return f"<p>{word} {escape(summary.reason)}</p>"


def numbers(summary: Summary, level: int) -> str:
    """Rows, tables and method of a summary."""
    parts = [table(summary.rows)]
    parts += [heading(each.title, level) + table(each.rows, header=each.header) for each in summary.tables if each.rows]
    if summary.method:
        parts.append(heading("How the numbers were obtained", level) + table(summary.method))
    if summary.code[1]:
        parts.append(f"{heading(summary.code[0], level)}<pre>{escape(summary.code[1])}</pre>")
    return "".join(parts)


def image(alt: str, png: bytes) -> str:
    """`alt` says in words what the picture shows."""
    encoded = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded}">'


def details(title: str, text: str) -> str:
    """Something long, closed until it is asked for."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """The first cell of a row is its heading where the table has none."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(_cells(row, not header))}</tr>" for row in rows)
    kind = ' class="hash"' if header and "SHA" in header[-1] else ""
    whole = f"<table{kind}>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
    return f'<div class="wide">{whole}</div>' if body else ""


def _cells(row: Sequence[str], first_is_heading: bool) -> Iterable[str]:
    for column, cell in enumerate(row):
        kind = "th" if first_is_heading and column == 0 else "td"
        yield f"<{kind}>{escape(cell)}</{kind}>"
