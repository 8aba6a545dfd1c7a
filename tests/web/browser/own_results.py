"""Procedures in place of picobridge's own, that show and return what a test gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.procedures.context import Context, Question
from bridge.procedures.description import Procedure, Role
from drivers.interfaces import Options
from tests.web.conftest import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Options):
    """No parameters."""


def telling(name: str, steps: Iterable[tuple[Any, Any]], result: Mapping[str, Any]) -> Procedure:
    """A procedure `name` that shows each (header, items) of `steps`, asks whether to go on after each, and returns
    `result`."""

    async def run(context: Context, parameters: Nothing) -> dict[str, Any]:
        for number, (header, items) in enumerate(steps, 1):
            context.show(header, items)
            context.progress("telling", None, **(header or {}).get("progress", {}))
            await context.ask(Question(f"{number}?"))
        return dict(result)

    return Procedure(name, "for the test", Nothing, {"potentiostat": Role("potentiostat")}, run)


async def begin(site: Site, name: str) -> str:
    answer = await site.rig.request("run", procedure=name, parameters={}, devices={"potentiostat": "pstat"})
    return str(answer["run"])


async def go_on(site: Site, run: str, number: int) -> None:
    """Past the question after the step of this number."""
    await site.rig.listener.json(
        f"{site.rig.prefix}/runs/{run}/state", lambda s: (s["question"] or {}).get("text") == f"{number}?"
    )
    await site.rig.request("answer", run=run, choice="done")
