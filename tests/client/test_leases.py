"""A script's leases: what `control` promises when it is taken over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.client import Lab, connect, leases
from drivers.errors import LeaseLost

from .conftest import Bench, BenchMaker


async def taken_over(b: Bench, other: Lab) -> None:
    """Somebody takes the stage over, the script hears of it, and the stage is given back."""
    renewing: Any = b.lab._leases._held[0].renewing
    granted = await other.request("takeover", {"device": "stage", "reason": "the door is open"})
    async with asyncio.timeout(10):
        await renewing
    await other.request("release", {"lease": granted["lease"]})


async def test_control_that_was_taken_over_is_not_taken_again_before_the_block_is_left(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    async with bench("stage") as b, connect(b.url, name="other") as other:
        async with b.lab.control("stage"):
            await b.lab.stage.move_to(x_m="1 mm")
            await taken_over(b, other)
            for _ in range(2):
                with pytest.raises(LeaseLost, match="the door is open") as caught:
                    await b.lab.stage.move_to(x_m="2 mm")
                assert "take control again" in caught.value.hint
            with pytest.raises(LeaseLost):
                async with b.lab.control("stage"):
                    pass
            await b.lab.stage.stop()  # needs no lease
            assert await b.lab.request("leases") == []
        assert (await b.lab.stage.position()).x_m == 0.001
        async with b.lab.control("stage"):
            assert (await b.lab.stage.move_to(x_m="2 mm")).x_m == 0.002


async def test_a_lost_lease_without_control_is_taken_again(bench: BenchMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    async with bench("stage") as b, connect(b.url, name="other") as other:
        await b.lab.stage.move_to(x_m="1 mm")
        await taken_over(b, other)
        assert (await b.lab.stage.move_to(x_m="2 mm")).x_m == 0.002
