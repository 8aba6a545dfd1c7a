"""An approach over wires, judged by what the mocks themselves record: a 6430 on a VISA socket, the relay board and the
RemCon stage on serial lines, a picomotor on USB or TCP, a vacuum gauge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from drivers.errors import CellNotOff, LinkError, MoveFailed, Refused, RunFailed
from mocks.world import World
from tests.near import near

from .test_on_wires import PLACES, Rig, rig

ROLES = ("potentiostat", "feedthrough", "manipulator")
QUICK = {"verify": "1 s", "test": "1 s"}


class Heard(list[str]):
    """A mock's record with the instants, and something to do when a command comes."""

    def __init__(self, then: Callable[[str], None] = lambda command: None) -> None:
        self.at_s: list[float] = []
        self._then = then

    def append(self, command: str) -> None:
        super().append(command)
        self.at_s.append(time.perf_counter())
        self._then(command)


def charged(height_m: float = 0.41e-6, **options: Any) -> World:
    world = World(seed=4, cell="fig8a_nominal", area_m2=1e-10, **options)
    world.cell.charge_c = world.cell.reversible_c = world.cell._peak_c = 45e-9
    world.tip.retract(height_m)
    return world


def at_rest(lab: Rig) -> bool:
    """The picomotor, by its own account: what was sent last has been reached, or was stopped."""
    mock = lab.mocks["manipulator"]
    return not any(axis.motion.moving(mock.timeline.now_ns) for axis in mock.axes)


@pytest.mark.parametrize("wire", ["usb", "tcp"])
async def test_the_whole_path(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACES, "manipulator", ("newfocus-8742", wire, {}))
    monkeypatch.setitem(PLACES, "stage", ("zeiss-remcon", "pty", {}))
    monkeypatch.setitem(PLACES, "gauge", ("pfeiffer-tpg", "pty", {}))
    world = charged()
    world.tip.film_ohm = 1.5e9
    ocv = world.cell.open_circuit_voltage_v
    async with rig(world, *ROLES, "stage", "gauge") as lab:
        heard = lab.mocks["manipulator"].record = Heard()
        result = await lab.do(
            "make-contact", route="cell", contact_voltage=ocv, tolerance="20 mV", cell_resistance="130 Mohm", **QUICK
        )
        assert lab.source_is_off
        assert at_rest(lab)
    assert result["verdict"] == "contact"
    assert result["ocv_v"] == near(ocv, abs=10e-3)
    press = world.tip.max_press_m
    overshoot = press - result["press_m"]
    assert 0 < overshoot <= result["overshoot_m"] + 30e-9, "within a motor's step"
    assert not world.tip.damaged
    assert result["stop_command_s"] <= result["stop_proven_s"] < 0.5
    assert "AB" in heard
    truth = world.tip.resistance_ohm
    assert result["contact_resistance_ohm"] == near(truth, rel=0.05)
    assert abs(world.tip.charge_c) < 12e-12
    assert result["contact_charge_c"] == near(-5e-12, abs=1.5e-12)
    assert result["safety"]["pressure_pa"] == near(5e-4, rel=0.01)
    assert result["safety"]["stage"]["touch_alarm"] == "unknown"
    assert result["safety"]["route"] == "cell"


async def test_never_found_is_drawn_back() -> None:
    world = charged(20e-6)
    async with rig(world, *ROLES) as lab:
        result = await lab.do("make-contact", route="cell", max_travel="300 nm", step="60 nm")
        assert (result["verdict"], result["steps"]) == ("not found", 5)
        assert world.tip.gap_m == near(20e-6 - 0.3e-6 + 1e-6, abs=35e-9)
        assert lab.source_is_off
        assert at_rest(lab)


async def test_chatter_is_given_up_with_the_tip_drawn_back() -> None:
    world = charged(0.1e-6)
    world.tip.firm_press_m = 1.0
    async with rig(world, *ROLES) as lab:
        with pytest.raises(RunFailed, match="contact did not last, 1 time"):
            await lab.do("make-contact", route="cell", tries=1, **QUICK)
        assert world.tip.touches >= 1
        assert world.tip.gap_m > 0.3e-6
        assert not world.tip.damaged
        assert lab.source_is_off
        assert at_rest(lab)
        assert len(lab.notes) == 1


async def test_the_potentiostats_wire_lost_on_the_way_stops_the_tip() -> None:
    world = charged(2e-6)
    async with rig(world, *ROLES) as lab:
        moved = asyncio.Event()
        lab.mocks["manipulator"].record = Heard(lambda command: moved.set() if "PA" in command else None)
        task = asyncio.create_task(lab.do("make-contact", route="cell"))
        await moved.wait()
        await lab.served["potentiostat"].unplug()
        with pytest.raises((LinkError, CellNotOff)) as lost:
            await task
        assert "by hand" in lost.value.hint, "the source cannot be proven off without its wire"
        assert at_rest(lab)
        assert world.tip.gap_m > 1e-6, "it did not go on"
        await lab.served["potentiostat"].replug()
        await lab.devices["potentiostat"].transport.close()
        await lab.devices["potentiostat"].connect()
        assert lab.source_is_off


async def test_the_manipulators_wire_lost_on_the_way_switches_the_source_off() -> None:
    world = charged(2e-6)
    async with rig(world, *ROLES) as lab:
        moved = asyncio.Event()
        lab.mocks["manipulator"].record = Heard(lambda command: moved.set() if "PA" in command else None)
        task = asyncio.create_task(lab.do("make-contact", route="cell"))
        await moved.wait()
        await lab.served["manipulator"].unplug()
        with pytest.raises(LinkError) as lost:
            await task
        assert lost.value.device == "manipulator"
        assert lab.source_is_off
        assert any("could not be proven at rest" in note for note in lab.notes)


async def test_a_motor_that_stalls_ends_the_approach() -> None:
    world = charged(2e-6)
    async with rig(world, *ROLES) as lab:
        mock = lab.mocks["manipulator"]

        def stall(command: str) -> None:
            if "PA" in command and len([c for c in mock.record if "PA" in c]) == 3:
                asyncio.get_running_loop().call_soon(mock._do_ab)

        mock.record = Heard(stall)
        with pytest.raises(MoveFailed, match="ended at step"):
            await lab.do("make-contact", route="cell")
        assert lab.source_is_off
        assert at_rest(lab)
        assert world.tip.gap_m > 1.8e-6


async def test_bad_vacuum_or_a_moving_stage_refuse_before_anything_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACES, "stage", ("zeiss-remcon", "pty", {}))
    monkeypatch.setitem(PLACES, "gauge", ("pfeiffer-tpg", "pty", {}))
    world = charged()
    world.chamber.set_stage(0.06, 0.06, 0.03, 0.0, 0.0)
    async with rig(world, *ROLES, "stage", "gauge") as lab:
        lab.mocks["manipulator"].record.clear()
        world.chamber.pressure_pa = 2e-3
        with pytest.raises(Refused, match=r"the pressure is 2 mPa; 1 mPa or less is needed"):
            await lab.do("make-contact", route="cell")
        world.chamber.pressure_pa = 5e-4
        lab.mocks["stage"].push(0, 70.0)
        with pytest.raises(Refused, match="the stage moves: x_m"):
            await lab.do("make-contact", route="cell")
        lab.mocks["stage"].place(60.0, 60.0, 30.0, 0.0, 0.0, 0.0)
        await lab.devices["feedthrough"].select("open")  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="the feedthrough is at 'open'"):
            await lab.do("make-contact")
        assert not [command for command in lab.mocks["manipulator"].record if "PA" in command]
        assert lab.source_is_off


async def test_contact_in_the_middle_of_a_step_breaks_it_off() -> None:
    """In real time: a slow coarse step of 3 um meets the pad after a sixth of it."""
    world = charged(0.5e-6, speed=2.0, flows=True)
    async with rig(world, "potentiostat", "manipulator") as lab:
        world.wiring.set_relay(3, True)
        tip = lab.devices["manipulator"]
        await tip.set_speed(0.6e-6)  # type: ignore[attr-defined]
        heard = lab.mocks["manipulator"].record = Heard()
        result = await lab.do(
            "make-contact",
            coarse_travel="3 um",
            coarse_step="3 um",
            press=0,
            verify="0.3 s",
            test_current=0,
        )
        assert result["sensed_in_motion"] is True
        assert result["stop_command_s"] < 0.2
        assert "AB" in heard
        assert 0 < world.tip.max_press_m < 1.5e-6, "not the 2.5 um that were left"
        assert result["overshoot_m"] == near(0.5e-6 + world.tip.max_press_m, abs=61e-9)
        assert at_rest(lab)
