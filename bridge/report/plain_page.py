"""The page of a result that has none of its own: what can be said of any result, and its samples against time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, si

from .summary import Samples, Summary, Tone

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Keys that the page shows elsewhere.
_ELSEWHERE = ("procedure", "parts", "notes", "verdict", "reason")
_TONES: Mapping[str, Tone] = {"pass": "pass", "fail": "fail"}
#: Endings of names and the unit that they tell; the longest that fits counts.
_UNITS = {
    "_a": "A",
    "_v": "V",
    "_s": "s",
    "_m": "m",
    "_deg": "deg",
    "_m2": "m2",
    "_c": "C",
    "_ah": "Ah",
    "_wh": "Wh",
    "_w": "W",
    "_f": "F",
    "_hz": "Hz",
    "_ohm": "Ohm",
    "_pa": "Pa",
    "_a_per_m2": "A/m2",
    "_ah_per_m2": "Ah/m2",
    "_v_per_s": "V/s",
    "_a_per_s": "A/s",
    "_m_per_s": "m/s",
}


def summary(result: Mapping[str, Any]) -> Summary:
    """Verdict and reason if there are some, and every scalar, those of tables within too."""
    name = str(result.get("procedure", "")) or "Result"
    verdict = str(result.get("verdict", ""))
    return Summary(
        title=name.replace("-", " ").capitalize(),
        verdict=verdict,
        tone=_TONES.get(verdict, "doubt"),
        reason=str(result.get("reason", "")),
        rows=list(_rows(result, "")),
    )


def _rows(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, content in table.items():
        if not prefix and key in _ELSEWHERE:
            continue
        name = f"{prefix}{words(key)}"
        if isinstance(content, Mapping):
            yield from _rows(content, f"{name}, ")
        elif isinstance(content, str | int | float):
            yield name[0].upper() + name[1:], value(key, content)


def _unit(key: str) -> tuple[str, str]:
    """(ending, unit) of a key; ("", "") if it tells none."""
    fitting = [ending for ending in _UNITS if key.endswith(ending)]
    ending = max(fitting, key=len, default="")
    return ending, _UNITS.get(ending, "")


def words(key: str) -> str:
    """A key without its unit, as words: "voltage_min_v" is "voltage min"."""
    ending, _ = _unit(key)
    return (key.removesuffix(ending) or key).replace("_", " ")


def value(key: str, content: Any) -> str:
    """What a key holds, in the unit that its name tells: ("current_a", 1e-12) is "1 pA"."""
    _, unit = _unit(key)
    if content is None:
        return "not given"
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, int | float) and unit == "m2":
        return area(float(content))
    if isinstance(content, int | float) and unit == "s" and content >= 600:
        return duration(float(content))
    if isinstance(content, int | float) and unit:
        return si(float(content), unit, 4)
    return f"{content:.6g}" if isinstance(content, float) else str(content)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Voltage and current of each potentiostat against time, and its impedance spectra."""
    from .samples_figure import spectra_figure, time_figure

    drawn: list[tuple[str, Figure]] = []
    for device, blocks in samples.items():
        for kind, draw in (("samples", time_figure), ("impedance", spectra_figure)):
            figure = draw(device, blocks)
            if figure is not None:
                drawn.append((f"{device}-{kind}", figure))
    return drawn
