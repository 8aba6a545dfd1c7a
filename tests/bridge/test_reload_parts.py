"""What a reload changes in place: rules, groups, and where samples go out."""

from __future__ import annotations

import pytest

from bridge.safety.acts import Act, Kind, act_of_technique
from bridge.safety.default_rules import RigDevice, default_rules
from bridge.safety.engine import Interlocks
from bridge.safety.interlock_options import parse_interlocks
from bridge.safety.leases import Leases
from bridge.safety.observations import Observations
from bridge.safety.rules import RuleSet
from bridge.transfer.mqtt import BrokerAddress, Message
from bridge.transfer.pump import SamplePump
from bridge.transfer.uplink import Uplink
from drivers.errors import Busy
from drivers.techniques import Galvanostatic

from .fakes import ramp

CHARGE = act_of_technique("pstat", Galvanostatic(current_a=1e-9, duration_s=10.0))
MOVE = Act(device="stage", interface="stage", method="home", kinds=frozenset({Kind.MOVE, Kind.HOME}))


def rules(*devices: str, **options: object) -> RuleSet:
    interfaces = {"pstat": "potentiostat", "second": "potentiostat", "gauge": "gauge", "stage": "stage"}
    rig = [RigDevice(name, interfaces[name]) for name in devices]
    return default_rules(rig, parse_interlocks(options, {name: interfaces[name] for name in devices}))


def engine(*devices: str) -> Interlocks:
    """Everything is allowed."""
    made = Interlocks(rules(*devices), Observations())
    made.require = lambda act, now: None  # type: ignore[method-assign]
    return made


def test_rules_change_between_acts_only() -> None:
    interlocks = engine("pstat", "gauge")
    stricter = rules("pstat", "gauge", vacuum_pa=1e-6)
    with interlocks.acting(CHARGE, lambda: 0.0):
        assert interlocks.judged_otherwise(stricter) == [CHARGE]
        with pytest.raises(Busy, match=r"pstat\.galvanostatic"):
            interlocks.use(stricter)
        assert interlocks.rules is not stricter
    interlocks.use(stricter)
    assert interlocks.rules is stricter


@pytest.mark.parametrize(
    ("act", "after", "otherwise"),
    [
        (CHARGE, rules("pstat", "gauge", "second"), False),  # the same vacuum, for one more source
        (CHARGE, rules("pstat", "gauge", "stage"), False),
        (CHARGE, rules("pstat", "gauge", zero_current_a=1e-9), False),
        (CHARGE, rules("pstat", "gauge", vacuum_grace_s=9.0), True),
        (CHARGE, rules("pstat"), True),
        (CHARGE, rules("pstat", "gauge", max_age_s=9.0), True),
        (CHARGE, rules("pstat", "gauge", off=["vacuum"]), True),
        (MOVE, rules("pstat", "gauge", vacuum_pa=1e-6), True),  # there is no stage any more whose alarm is looked at
    ],
)
def test_what_is_judged_otherwise(act: Act, after: RuleSet, otherwise: bool) -> None:
    interlocks = engine("pstat", "gauge", "stage") if act is MOVE else engine("pstat", "gauge")
    with interlocks.acting(act, lambda: 0.0):
        assert bool(interlocks.judged_otherwise(after)) is otherwise


def test_a_rule_stays_set_aside_while_it_may_be() -> None:
    interlocks = engine("pstat", "gauge")
    how = {"by": "ada", "role": "administrator", "seconds": 60.0, "reason": "vented on purpose", "now": 0.0}
    interlocks.override("vacuum", **how)  # type: ignore[arg-type]
    interlocks.use(rules("pstat", "gauge", "second"))
    assert [one.rule for one in interlocks.overrides(1.0)] == ["vacuum"]
    interlocks.use(rules("pstat"))
    interlocks.use(rules("pstat", "gauge"))
    assert interlocks.overrides(1.0) == ()


async def test_groups_change_while_nobody_holds_them() -> None:
    number = 0

    async def fence(group: str) -> int:
        nonlocal number
        number += 1
        return number

    leases = Leases({"chamber": ("stage", "tip")}, fence, lambda: 0.0)
    held = await leases.acquire("stage", "ada")
    single = await leases.acquire("pstat", "ada")
    assert leases.held_otherwise({"chamber": ("tip", "stage"), "other": ("relays",)}) == []
    for groups, group in (
        ({"chamber": ("stage", "tip", "relays")}, "chamber"),
        ({}, "chamber"),
        ({"chamber": ("stage", "tip"), "sources": ("pstat",)}, "pstat"),
    ):
        assert leases.held_otherwise(groups) == [group]
        with pytest.raises(Busy, match=group):
            leases.regroup(groups)
    leases.release(held.id)
    leases.release(single.id)
    leases.regroup({"chamber": ("stage",), "sources": ("pstat",)})
    assert (leases.group_of("pstat"), leases.group_of("tip")) == ("sources", "tip")
    assert (await leases.acquire("pstat", "bob")).fence == number


def test_what_waits_of_a_device_that_is_gone_goes_out_first() -> None:
    uplink = Uplink(BrokerAddress("x", 1), None, identifier="i", will=Message("w", b""))  # type: ignore[arg-type]
    pump = SamplePump("s", uplink.wake)
    uplink.attach(pump, "samples")
    for block in ramp(30, 10):
        pump.take(block)
    uplink.detach(pump)
    while (item := uplink._next()) is not None:
        assert item.source is pump
        pump.acknowledged(item.parcel)  # type: ignore[arg-type]
    uplink._forget_idle()
    assert not uplink._sources
    assert pump.published == 30
