"""Rows 56 to 58: a gauge that is silent, gone, at its limit or below it; a rule broken at the last moment; and
acknowledgements that come too early."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.safety.interlock_options import InterlockOptions, Thresholds
from drivers.clock import SYSTEM_CLOCK
from drivers.errors import FaultLatched, InterlockViolated, InvalidValue, Refused
from tests.bridge.conftest import eventually

from .conftest import RigMaker
from .rig import RULES_OFF, Rig

#: the rule is in force, with a grace and an age that nobody has to wait for long
VACUUM = InterlockOptions(
    thresholds=Thresholds(max_age_s=1.0, vacuum_grace_s=0.25), off=tuple(rule for rule in RULES_OFF if rule != "vacuum")
)
GOOD_PA, BAD_PA = 5e-4, 1e-2


class Flapping(dict[int, str]):
    """A gauge that reads, in turn, well and just too much (mbar)."""

    def __init__(self, *texts: str) -> None:
        super().__init__({1: texts[0]})
        self._texts = itertools.cycle(texts)

    def __getitem__(self, channel: int) -> str:
        return next(self._texts)


async def silent(rig: Rig) -> None:
    rig.served["gauge"].faults.silence()


async def gone(rig: Rig) -> None:
    await rig.served["gauge"].unplug()


async def flapping(rig: Rig) -> None:
    rig.mock("gauge").text = Flapping("+9.0000E-06", "+2.1000E-05")


async def under_range(rig: Rig) -> None:
    rig.mock("gauge").status[1] = 1


async def well(rig: Rig) -> None:
    """The gauge reads a vacuum again, and the rule has seen it."""
    rig.served["gauge"].faults.clear()
    rig.mock("gauge").text = {}
    rig.mock("gauge").status = {}
    rig.world.chamber.pressure_pa = GOOD_PA
    if rig.daemon.devices["gauge"].connection.state == "lost":
        await rig.served["gauge"].replug()
    await rig.connection("gauge", "connected")
    await eventually(lambda: rig.daemon._observer.observations.watch("gauge.pressure_pa", window(rig)).is_open)


def window(rig: Rig) -> Any:
    (rule,) = [rule for rule in rig.daemon._guard.interlocks.rules.rules if rule.id == "vacuum"]
    return rule.requires.limits  # type: ignore[attr-defined]


async def no_longer_good(rig: Rig) -> None:
    watched = rig.daemon._observer.observations.watch
    await eventually(lambda: not watched("gauge.pressure_pa", window(rig)).is_open)


def told_of_safety(rig: Rig) -> list[str]:
    return [event["text"] for event in rig.recorder.told["events"] if event["kind"] == "safety"]


@pytest.mark.parametrize("happens", [silent, gone, flapping, under_range])
async def test_56_no_vacuum_by_the_gauge(path: RigMaker, happens: Callable[[Rig], Awaitable[None]]) -> None:
    """56. The gauge falls silent, is unplugged, reads about the limit or less than it can measure, with the source on.
    The run ends and the source is off, by the instrument's own record; the user is told the rule and the reading, once;
    nothing is energised before the gauge reads a vacuum again and somebody has acknowledged."""
    async with path("pstat", "gauge", interlocks=VACUUM, with_daemon=False) as rig:
        of_the_rig = rig.clock_for
        rig.clock_for = lambda name: SYSTEM_CLOCK if name == "gauge" else of_the_rig(name)
        async with rig.running():
            await rig.read("pstat", "gauge")
            run = await rig.measuring()
            energised = rig.witness.energised["pstat"]
            await happens(rig)
            result = await rig.ended(run)
            assert result["status"] == "failed"
            rig.told(result["error"], InterlockViolated, "pstat")
            assert "gauge.pressure_pa" in result["error"]["message"]
            assert not rig.witness.is_on("pstat")
            rig.told(await rig.refused(rig.start()), FaultLatched, "pstat")
            (fault,) = [fault for fault in (await rig.lab.faults())["open"] if fault["device"] == "pstat"]
            assert not fault["cause_gone"]
            rig.told(await rig.refused(rig.lab.acknowledge(fault["id"])), Refused, "pstat")
            assert len([text for text in told_of_safety(rig) if "rule vacuum" in text]) <= 2, (
                "that it is, and the fault"
            )
            await well(rig)
            assert rig.witness.energised["pstat"] == energised, "nothing was resumed"
            await rig.acknowledged("pstat")
            await rig.acknowledged("gauge")
            await rig.measured()
            await rig.check()


@pytest.mark.parametrize("happens", [silent, gone, flapping, under_range])
async def test_56_nothing_is_begun_without_a_vacuum(path: RigMaker, happens: Callable[[Rig], Awaitable[None]]) -> None:
    """56. As above, before a run: it is refused with the rule, its reading and what is needed; nothing is energised."""
    async with path("pstat", "gauge", interlocks=VACUUM) as rig:
        await rig.measured()
        energised = rig.witness.energised["pstat"]
        await happens(rig)
        observer = rig.daemon._observer
        age_s = lambda: observer.observations.age_s("gauge.pressure_pa", observer.now())  # noqa: E731
        if happens is silent:
            await eventually(lambda: (age_s() or 0.0) > VACUUM.thresholds.max_age_s)
        else:
            await no_longer_good(rig)
        result = await rig.ended(await rig.start())
        rig.told(result["error"], InterlockViolated, "pstat")
        assert rig.witness.energised["pstat"] == energised
        rig.served["gauge"].faults.clear()
        await rig.check()


async def test_56_between_the_two_limits_nothing_changes(path: RigMaker) -> None:
    """56. The pressure goes to and fro between what opens and what closes (1 and 2 mPa). The run goes on, and nobody is
    told anything."""
    async with path("pstat", "gauge", interlocks=VACUUM) as rig:
        run = await rig.measuring()
        rig.mock("gauge").text = Flapping("+9.0000E-06", "+1.9000E-05")
        asked = rig.mock("gauge").record.count("PR1")
        await eventually(lambda: rig.mock("gauge").record.count("PR1") >= asked + 10)
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 10)
        assert not run.ended
        assert told_of_safety(rig) == []
        await run.abort()
        await rig.check(quiet="hysteresis: nothing happened")


async def test_57_the_vacuum_is_lost_between_admission_and_the_first_byte(path: RigMaker) -> None:
    """57. A run is admitted; while its intent is being written to the audit, air comes in. The check right before the
    first byte finds it: the user is told the rule, nothing was sent, and the audit has the intent as not done."""
    async with path("pstat", "gauge", interlocks=VACUUM) as rig:
        await rig.measured()
        audit = rig.daemon._guard.audit
        intent = audit.intent
        energised, record = rig.witness.energised["pstat"], list(rig.mock("pstat").record)
        intents: list[int] = []

        async def slow(*arguments: Any, **fields: Any) -> int:
            intents.append(await intent(*arguments, **fields))
            rig.world.chamber.pressure_pa = BAD_PA
            await no_longer_good(rig)
            return intents[-1]

        audit.intent = slow  # type: ignore[method-assign]
        result = await rig.ended(await rig.start())
        audit.intent = intent  # type: ignore[method-assign]
        rig.told(result["error"], InterlockViolated, "pstat")
        assert len(intents) == 1, "it had been admitted"
        assert rig.witness.energised["pstat"] == energised
        assert ":OUTP ON" not in " ".join(rig.mock("pstat").record[len(record) :])
        await well(rig)
        await rig.measured()
        await rig.check()


async def test_58_acknowledged_too_early_and_again_and_again(path: RigMaker) -> None:
    """58. Somebody holds the acknowledge button down from the moment when air comes in. Every one before the cause is
    gone is refused; none of those sent before counts afterwards; the one that does starts nothing, and the next fault
    needs one of its own."""
    async with path("pstat", "gauge", interlocks=VACUUM) as rig:
        await rig.measuring()
        energised = rig.witness.energised["pstat"]
        rig.world.chamber.pressure_pa = BAD_PA
        await rig.recorder.event("rule vacuum")
        await eventually(lambda: not rig.witness.is_on("pstat"))
        (fault,) = await known(rig)
        while fault["id"] is None:  # it forbids before it is on disk
            (fault,) = await known(rig)
        press = {"fault": fault["id"], "ticket": fault["ticket"] or ""}
        held_down = [rig.refused(rig.lab.request("acknowledge", press)) for _ in range(20)]
        for error in await asyncio.gather(*held_down):
            rig.told(error, Refused, "pstat")
        await well(rig)
        await rig.read("pstat")
        rig.told(await rig.refused(rig.lab.request("acknowledge", press)), Refused, "pstat")
        rig.told(await rig.refused(rig.start()), FaultLatched, "pstat")
        (fault,) = await known(rig)
        press["ticket"] = fault["ticket"]
        await rig.lab.request("acknowledge", press)
        assert rig.witness.energised["pstat"] == energised, "acknowledging starts nothing"
        rig.told(await rig.refused(rig.lab.request("acknowledge", press)), InvalidValue, "")
        run = await rig.measuring()
        rig.world.chamber.pressure_pa = BAD_PA
        await rig.ended(run)
        await well(rig)
        await rig.read("pstat")
        rig.told(await rig.refused(rig.lab.request("acknowledge", press)), InvalidValue, "")
        assert len(await known(rig)) == 1
        await rig.check()


async def known(rig: Rig) -> list[Any]:
    """The open faults."""
    return list((await rig.lab.faults())["open"])
