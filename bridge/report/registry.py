"""The one table of pages: which module shows the result of which procedure.

A page is a module with these two functions (the second is optional):

    def summary(result: Mapping[str, Any]) -> Summary:
        # `result` is what the procedure returned, as JSON values. Import no matplotlib at the top of the module.
        return Summary("Noise test at 1 pA", "pass", "pass", "mean and s within 100 fA", rows=[("Mean", "1.00 pA")])

    def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
        # `samples` maps device names to the blocks of the whole run, {} where they were not recorded: return [] then if
        # the pictures need them. The name becomes a file name ("noise" -> 1-noise.svg) and must be unlike the others'.
        from .noise_figure import noise_figure
        return [("noise", noise_figure(result))]

`Summary`, `Table`, `Samples` and helpers are in `bridge.report.summary`; `new_figure`, colours and scales in
`bridge.report.style`; numbers as people say them in `bridge.analysis.formatting`. The page as a whole (title, verdict,
notes of the result, pictures, rows, tables, method, all numbers) is put together by `bridge.report.page`.

A result may have `"parts": [{"procedure": name, "title": text, "result": {...}}, ...]`: each gets a section of its own
below, by the page of its procedure, with the same `samples`. Blocks of one part are found by what its result names
(`start_time_ns` of a technique, which its blocks have too).

A procedure without an entry is shown by `plain_page`: its scalar results as rows, its samples against time. A result
that its page cannot read (of another version, or incomplete) is shown so too, and the reason is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from .summary import Samples, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: By the procedure's name. Modules of this package, imported when a page is made.
_MODULES: Mapping[str, str] = {
    "plan": "plan_page",
    "noise-test": "noise_page",
    "noise-survey": "noise_survey_page",
    "current-check": "current_check_page",
    "cycle": "cycle_page",
    "leak-or-trap": "leak_or_trap_page",
    "make-contact": "contact_page",
    "stage-move": "stage_page",
    "save-position": "stage_page",
    "go-to": "stage_page",
    "open-circuit": "schedule_page",
    "rest": "schedule_page",
    "constant-current": "schedule_page",
    "constant-voltage": "schedule_page",
    "cc-cv": "schedule_page",
    "gitt": "titration_page",
    "dc-resistance": "resistance_page",
    "cyclic-voltammetry": "voltammetry_page",
    "schedule": "schedule_page",
    "impedance": "impedance_page",
    "open-lead": "impedance_page",
    "health-watch": "health_page",
    "short-test": "short_test_page",
    "nanobattery-protocol": "protocol_page",
    "sheet-map": "sheet_page",
}
_PLAIN = "plain_page"


class Page(Protocol):
    """What a page module has."""

    def summary(self, result: Mapping[str, Any]) -> Summary: ...

    def figures(self, result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]: ...


class _Module:
    """A page module, with no pictures if it has no `figures`."""

    def __init__(self, name: str) -> None:
        self._module = import_module(f".{name}", __package__)

    def summary(self, result: Mapping[str, Any]) -> Summary:
        return cast(Summary, self._module.summary(result))

    def figures(self, result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
        if not hasattr(self._module, "figures"):
            return ()
        return cast("Sequence[tuple[str, Figure]]", self._module.figures(result, samples))


def page_of(procedure: str) -> Page:
    """The page of a procedure, or the plain one."""
    return _Module(_MODULES.get(procedure, _PLAIN))


def plain_page() -> Page:
    return _Module(_PLAIN)
