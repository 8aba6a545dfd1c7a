"""The procedure `sheet-map`: a sheet of cells, measured, binned and mapped."""

from __future__ import annotations

from typing import Any

from bridge.procedures.context import Context
from bridge.procedures.description import Procedure, Role

from .parameters import SheetMap


async def _run(context: Context, parameters: SheetMap) -> dict[str, Any]:
    from .mapping import run  # scipy and what else a map needs: not when the command line only lists its commands

    return await run(context, parameters)


PROCEDURE = Procedure(
    name="sheet-map",
    summary="a sheet of cells: voltage, and impedance where it tells something, of each; bins, yield, map",
    parameters=SheetMap,
    roles={
        "potentiostat": Role("potentiostat", several=True),
        "stage": Role("stage", required=False, several=True),
        "manipulator": Role("manipulator", required=False, several=True),
        "feedthrough": Role("feedthrough", required=False),
    },
    run=_run,
    produces={
        "yield": "share of good cells among those that were judged, with its interval",
        "bins": "cells in each bin",
        "cells": "the map: bin and record of each cell",
        "patterns": "what the failing cells have in common",
        "stacks": "predicted yield of parallel stacks, and cells that go together",
        "time": "how long it took, beside the least that it could have taken, and what each device did",
    },
    pausable=True,
    resumable=True,
)
