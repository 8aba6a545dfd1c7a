"""Faults of an earlier daemon: each can be acknowledged once there is nothing left that could be wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.daemon.state import State
from bridge.safety.faults import EMERGENCY_STOP
from drivers.errors import FaultLatched

from .conftest import RigMaker

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


async def test_what_an_earlier_daemon_latched_forbids_until_it_is_acknowledged(rig: RigMaker, tmp_path: Any) -> None:
    state = State(tmp_path / "state")
    await state.open()
    for kind, device in ((EMERGENCY_STOP, ""), ("lost", "pstat"), ("lost", "sold"), ("disk_sync", "spool")):
        await state.faults.raise_fault(kind, device, f"{kind} of {device}", at_ns=time.time_ns())
    await state.close()
    async with rig() as r:
        with pytest.raises(FaultLatched, match="emergency_stop of"):
            await r.run(**GALVANOSTATIC)
        health = await r.listener.json(f"{r.prefix}/health", lambda h: all(f["cause_gone"] for f in h["faults"]))
        assert health["status"] == "fault"
        assert len(health["faults"]) == 4
        for fault in health["faults"]:
            await r.request("acknowledge", fault=fault["id"], ticket=fault["ticket"])
        assert (await r.result(await r.run(**GALVANOSTATIC)))["status"] == "finished"
        assert (await r.request("faults"))["open"] == []
