"""The page about one or several results: a section each, with its pictures inside, readable without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drivers.errors import PicobridgeError

from . import markup
from .registry import Page, page_of, plain_page
from .summary import Samples, Summary

#: A list of more numbers than this is left to the pictures.
_LONG = 12
#: What a page may raise over a result of another version or an incomplete one.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, PicobridgeError)


def write_report(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    samples: Sequence[Samples] = (),
    *,
    title: str = "Run report",
    head: Summary | None = None,
    foot: Summary | None = None,
    now: datetime | None = None,
) -> Path:
    """Write `report.html` and the pictures (PNG and SVG) into `folder`; returns the page's path.

    `results` are what procedures returned, in order; `samples[i]` are those of the run of `results[i]`. `head` is said
    above them, `foot` below. Drawing takes about a second a picture: use a thread or a process where that matters.
    Raises `OSError`.
    """
    each = [*samples, *({} for _ in range(len(results) - len(samples)))]
    body = [] if head is None else [markup.verdict(head), markup.numbers(head, 3)]
    for number, (result, own) in enumerate(zip(results, each, strict=False), start=1):
        body.append(_section(folder, str(number), result, own, 2))
    if foot is not None:
        body += [markup.heading(foot.title, 2), markup.numbers(foot, 3)]
    when = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S UTC")
    intro = (
        f"Written {when} by picobridge {_version()}. Samples and results are beside this page, in {folder.name}. "
        "Currents: positive charges the cell."
    )
    path = folder / "report.html"
    path.write_text(markup.document(title, intro, "".join(body)), encoding="utf-8", errors="replace")
    return path


def summary_of(result: Mapping[str, Any]) -> Summary:
    """A result in words, by its procedure's page or, where that cannot read it, the plain one."""
    return _summary(result)[1]


def _section(
    folder: Path, number: str, result: Mapping[str, Any], samples: Samples, level: int, title: str = ""
) -> str:
    """A result and, a level deeper, its parts. `number` is "1", of its first part "1.1"."""
    page, summary, unreadable = _summary(result)
    pictures, undrawn = _pictures(folder, number, page, result, samples)
    notes = [str(text) for text in result.get("notes") or ()]
    parts = [markup.heading(title or summary.title, level), markup.verdict(summary)]
    parts += [markup.note(text) for text in (*notes, *unreadable, *undrawn)]
    parts += [*pictures, markup.numbers(summary, level + 1)]
    text = json.dumps(_without_series(result), indent=1, ensure_ascii=False)
    parts.append(markup.details("All numbers, in SI units", text))
    for index, part in enumerate(result.get("parts") or (), start=1):
        own = {"procedure": part.get("procedure", ""), **(part.get("result") or {})}
        parts.append(_section(folder, f"{number}.{index}", own, samples, level + 1, str(part.get("title") or "")))
    return "".join(parts)


def _summary(result: Mapping[str, Any]) -> tuple[Page, Summary, list[str]]:
    """(page, its summary, what went wrong): the plain page's where the procedure's own cannot read the result."""
    page = page_of(str(result.get("procedure", "")))
    try:
        return page, page.summary(result), []
    except _UNREADABLE as error:
        plain = plain_page()
        said = f"The page of this procedure cannot read the result ({error!r}); it is shown as it is."
        return plain, plain.summary(result), [said]


def _pictures(
    folder: Path, number: str, page: Page, result: Mapping[str, Any], samples: Samples
) -> tuple[list[str], list[str]]:
    """(images, what went wrong): draws and writes beside the page. A page without a picture is better than none."""
    try:
        figures = page.figures(result, samples)
    except _UNREADABLE as error:
        return [], [f"The pictures could not be drawn: {error!r}"]
    if not figures:
        return [], []
    # matplotlib takes long to import: only who draws pays for it
    from .style import in_words, render

    images = []
    for name, figure in figures:
        (folder / f"{number}-{name}.svg").write_bytes(render(figure, "svg"))
        png = render(figure, "png")
        (folder / f"{number}-{name}.png").write_bytes(png)
        images.append(markup.image(in_words(name, figure), png))
    return images, []


def _without_series(value: Any) -> Any:
    """A result less its long lists of numbers, which the pictures show, and its parts, which have their own section."""
    if isinstance(value, Mapping):
        return {key: _without_series(item) for key, item in value.items() if key != "parts"}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > _LONG and all(item is None or isinstance(item, int | float) for item in value):
            return f"({len(value)} values, in the result's file)"
        return [_without_series(item) for item in value]
    return value


def _version() -> str:
    try:
        return version("picobridge")
    except PackageNotFoundError:
        return "(not installed)"
