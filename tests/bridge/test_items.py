"""What a run shows while it goes: asked for in pages, by whoever comes whenever."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.daemon.items import MOST, Items
from bridge.procedures.context import Context, Question
from bridge.procedures.description import Procedure, Role
from drivers.errors import InvalidValue

from .conftest import RigMaker
from .test_run_dialogue import Nothing, begin, result_of, state_of

ROLES = {"potentiostat": Role("potentiostat")}


async def find(context: Context, parameters: Nothing) -> dict[str, Any]:
    context.show({"kind": "cells", "of": 3})
    context.show(items=[{"cell": 1}, {"cell": 2}])
    await context.ask(Question("Go on?"))
    context.show({"kind": "cells", "of": 4}, [{"cell": 3}])
    await context.ask(Question("Enough?"))
    return {"cells": [1, 2, 3]}


async def around(context: Context, parameters: Nothing) -> dict[str, Any]:
    return dict(await context.perform("find", {}))


OWN = (Procedure("find", "finds", Nothing, ROLES, find), Procedure("around", "has a part", Nothing, ROLES, around))


@pytest.mark.parametrize("procedure", ["find", "around"])
async def test_whoever_comes_late_gets_all_of_it_and_nothing_twice(rig: RigMaker, procedure: str) -> None:
    async with rig(procedures=OWN) as r:
        run = await begin(r, procedure)
        state = await state_of(r, run, "question")
        assert state["items"] == {"count": 2, "edition": 1}
        first = await r.request("items", run=run)
        assert first == {
            "edition": 1,
            "header": {"kind": "cells", "of": 3},
            "items": [{"cell": 1}, {"cell": 2}],
            "next": 2,
            "count": 2,
        }
        await r.request("answer", run=run, choice="done")
        await r.listener.json(f"{r.prefix}/runs/{run}/state", lambda s: s["items"] == {"count": 3, "edition": 2})
        rest = await r.request("items", run=run, since=first["next"], edition=first["edition"])
        assert rest["items"] == [{"cell": 3}]
        assert rest["header"] == {"kind": "cells", "of": 4}
        await r.listener.json(f"{r.prefix}/runs/{run}/state", lambda s: (s["question"] or {}).get("text") == "Enough?")
        await r.request("answer", run=run, choice="done")
        await result_of(r, run)
        over = await r.request("items", run=run)  # the result has it now
        assert (over["items"], over["count"]) == ([], 0)


async def test_a_run_that_nobody_knows_has_none(rig: RigMaker) -> None:
    async with rig(procedures=OWN) as r:
        with pytest.raises(InvalidValue, match="not known"):
            await r.request("items", run="20200101-000000-1")


def test_many_come_in_pages() -> None:
    items = Items()
    assert items.describe() is None
    items.tell(None, ({"n": n} for n in range(2 * MOST + 1)))
    got: list[Any] = []
    while len(got) < items.page(len(got), 0)["count"]:
        page = items.page(len(got), 0)
        got += page["items"]
        assert page["next"] == len(got)
    assert [one["n"] for one in got] == list(range(2 * MOST + 1))
