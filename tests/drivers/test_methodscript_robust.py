"""Lost replies while connecting, devices that lack commands, packets in another order, the bias of a spectrum."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from drivers.errors import CellNotOff, DeviceError, DeviceTimeout, LinkError, ProtocolError, RunFailed, WrongDevice
from drivers.potentiostats.methodscript import run
from drivers.potentiostats.methodscript.assembly import places_of
from drivers.potentiostats.methodscript.models import MODELS
from drivers.potentiostats.methodscript.script import Settings, plan
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, Impedance, Potentiostatic
from mocks.instruments.methodscript import MethodScriptMock
from tests.near import near

from .methodscript_bench import Bench, bench, until

SHORT = Galvanostatic(current_a=1e-12, duration_s=1.0)


def energise(mock: MethodScriptMock) -> None:
    """As another program left it."""
    mock.circuit.mode, mock.circuit.potential_v, mock.circuit.cell_is_on = 2, 1.0, True
    mock.circuit.drive()


def fields(line: str) -> dict[str, str]:
    """Variables of a packet by type."""
    return {field[:2]: field for field in line[1:].split(";")}


def fixed(line: str) -> str:
    """As a device that always sends potential and current, whatever the script asks for."""
    if not line.startswith("P"):
        return line
    known = fields(line)
    potential = known.get("ab") or known["da"]
    return f"P{potential};{known.get('ba', 'ba8000000 ')}"


# --- connecting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["t", "i", "v", "CC", "CM", "e", "l", "r"])
async def test_one_lost_reply_at_connect_leaves_no_cell_on(command: str) -> None:
    async with bench(connect=False) as b:
        energise(b.mock)
        b.mock.lost_replies = {command: 1}
        identity = await b.driver.connect()
        assert identity.serial == b.mock.serial
        assert not b.mock.cell_is_on
        assert b.mock.lost_replies[command] == 0


@pytest.mark.parametrize("command", ["i", "v", "CC", "CM"])
async def test_a_question_that_is_never_answered_fails_with_the_cell_off(command: str) -> None:
    async with bench(connect=False) as b:
        energise(b.mock)
        b.mock.lost_replies = {command: 99}
        with pytest.raises(DeviceTimeout) as caught:
            await b.driver.connect()
        assert caught.value.sent == f"{command}\n".encode()
        assert "answered before" in caught.value.hint
        assert "try" not in caught.value.hint
        assert not b.mock.cell_is_on
        order = [line for line in b.mock.taken if line in ("e", "i", "v", "CC", "CM")]
        assert order[0] == "e", "first of all the cell goes off"


async def test_a_cell_that_cannot_be_proven_off_at_connect_is_said() -> None:
    async with bench(connect=False) as b:
        energise(b.mock)
        b.mock.cell_off_fails = True
        with pytest.raises(CellNotOff, match="error 0001") as caught:
            await b.driver.connect()
        assert caught.value.detail["cause"] == "DeviceError"
        assert b.mock.record.count("run") == 2, "repeated once"
        b.mock.cell_off_fails = False
        b.mock.lost_replies = {"e": 99}
        with pytest.raises(CellNotOff) as caught:
            await b.driver.connect()
        assert caught.value.detail["cause"] == "DeviceTimeout"


async def test_a_silent_port_is_told_about_the_baud_rate() -> None:
    async with bench(connect=False) as b:
        b.faults.silence()
        b.driver._protocol.reply_timeout_s = 0.1
        with pytest.raises(LinkError) as caught:
            await b.driver.connect()
        assert "921600" in caught.value.hint


async def test_another_device_gets_no_script_and_the_error_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(connect=False, options={"model": "nexus1"}) as b:
        with pytest.raises(WrongDevice) as caught:
            await b.driver.connect()
        assert (caught.value.device, caught.value.operation, caught.value.sent) == ("pstat", "identify", b"t\n")
        assert b.mock.taken == ["Z", "t"]
    monkeypatch.setattr(MethodScriptMock, "_answer", lambda self, command, line: self._reply("Hello"))
    async with bench(connect=False) as b:
        with pytest.raises(LinkError) as stranger:
            await b.driver.connect()
        assert "baud rate are right" in stranger.value.hint
        assert set(b.mock.taken) == {"Z", "t"}


# --- devices that lack commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["l", "r"])
async def test_without_l_or_r_scripts_go_by_e(missing: str) -> None:
    async with bench(connect=False) as b:
        b.mock.unknown = frozenset({missing})
        await b.driver.connect()
        block = await b.driver.collect(SHORT)
        assert block.end is EndReason.DURATION
        await b.driver.open_circuit(0.5)
        assert set(b.mock.taken) <= {"t", "i", "v", "CC", "CM", "e", "l", "r", "Z"}, "no line of a script"
        assert b.mock.unheard == b""
        assert b.mock.taken.count(missing) == 1, "remembered"


@pytest.mark.parametrize("missing", ["i", "v", "CC", "CM"])
async def test_without_a_question_it_goes_on(missing: str) -> None:
    async with bench(connect=False) as b:
        b.mock.unknown = frozenset({missing})
        identity = await b.driver.connect()
        assert identity.serial == ("" if missing == "i" else b.mock.serial)
        assert b.driver.script_version == ("" if missing == "v" else "01.09.00")
        assert (await b.driver.collect(SHORT)).end is EndReason.DURATION


# --- the bias of a spectrum -----------------------------------------------------------------------------------------


def watch_drive(b: Bench) -> list[float]:
    """Potentials that were put on the cell from now on."""
    applied: list[float] = []
    drive = b.mock.circuit.drive

    def watched() -> None:
        if b.mock.circuit.cell_is_on:
            applied.append(b.mock.circuit.potential_v)
        drive()

    b.mock.circuit.drive = watched  # type: ignore[method-assign]
    return applied


async def test_a_spectrum_without_a_bias_is_taken_at_the_open_circuit_potential() -> None:
    async with bench() as b:
        rest = float((await b.driver.open_circuit(1.0))["voltage_v"][-1])
        assert rest > 1.0
        applied = watch_drive(b)
        spectrum = await b.driver.impedance(1e3, 10.0, 5)
        assert (len(spectrum), spectrum.end) == (5, EndReason.FINISHED)
        assert applied
        assert min(applied) == max(applied) == near(rest, rel=0.01)
        assert spectrum.attributes["bias_v"] == near(rest, rel=0.01)
        assert spectrum.attributes["bias"] == "open-circuit potential just before"
        given = await b.driver.impedance(1e3, 10.0, 5, bias_v=0.5)
        assert given.attributes["bias_v"] == 0.5
        assert "bias" not in given.attributes


async def test_no_spectrum_without_a_measured_rest() -> None:
    async with bench() as b:
        b.mock.rewrite = lambda line: line.replace(fields(line)["ab"], "ab     nan,12") if line[:1] == "P" else line
        before = b.mock.record.count("cell on")
        with pytest.raises(RunFailed, match="open-circuit potential for the bias could not be measured"):
            await b.driver.impedance(1e3, 10.0, 5)
        assert b.mock.record.count("cell on") == before


async def test_a_stop_during_the_rest_before_a_spectrum_energises_nothing() -> None:
    async with bench() as b:
        b.mock.timeline.speed = 1.0
        task = asyncio.create_task(b.driver.collect(Impedance()))
        await until(lambda: b.mock.is_running)
        await b.driver.stop()
        block = await task
        assert (len(block), block.end) == (0, EndReason.STOPPED)
        assert "frequency_hz" in block.data
        assert "cell on" not in b.mock.record


def test_autoranging_ends_where_a_small_cell_needs_it_to() -> None:
    def ranging(technique: Any, **settings: Any) -> str:
        lines = plan(technique, MODELS["es4_hr"], Settings(**settings)).text()
        return next(line for line in lines if line.startswith("set_autoranging ba"))

    assert ranging(Impedance()) == "set_autoranging ba 100n 1m"
    assert ranging(Potentiostatic(voltage_v=1.0, duration_s=1)) == "set_autoranging ba 100n 1m"
    asked = Potentiostatic(voltage_v=1.0, duration_s=1, current_limit_a=0.05)
    assert ranging(asked) == "set_autoranging ba 100n 100m"
    assert ranging(Impedance(), current_range_max_a=1.0) == "set_autoranging ba 100n 100m"


# --- packets --------------------------------------------------------------------------------------------------------


async def test_packets_in_an_order_of_their_own_and_without_time() -> None:
    async with bench(route=0) as b:
        plain = await b.driver.galvanostatic(1e-9, 1.0)
        b.mock.rewrite = fixed
        block = await b.driver.galvanostatic(1e-9, 1.0)
        assert block["time_s"] == near(plain["time_s"], rel=1e-9)
        assert block["current_a"] == near(1e-9, rel=0.05)
        assert block.end is EndReason.DURATION
        assert block.attributes["time"].startswith("computed")
        assert "time" not in plain.attributes
        held = await b.driver.potentiostatic(0.5, 1.0)
        assert (held["voltage_v"] == 0.5).all()
        assert len(held) == 10


async def test_open_circuit_never_shows_time_as_voltage() -> None:
    async with bench() as b:
        plain = await b.driver.open_circuit(1.0)
        b.mock.rewrite = fixed
        block = await b.driver.open_circuit(1.0)
        assert block["voltage_v"][5:] == near(plain["voltage_v"][5:], rel=0.02)
        assert block["time_s"] == near(plain["time_s"], rel=1e-9)
        b.mock.rewrite = lambda line: f"P{fields(line)['eb']}" if line.startswith("P") else line
        with pytest.raises(ProtocolError, match="types eb, in which time_s, voltage_v cannot be found"):
            await b.driver.open_circuit(1.0)


@pytest.mark.parametrize("duration_s", [0.1, 1.0])
async def test_packets_that_say_something_else_are_an_error_with_the_cell_off(duration_s: float) -> None:
    async with bench() as b:
        b.mock.rewrite = lambda line: "Peb8000064m;ab8000E10m" if line.startswith("P") else line
        with pytest.raises(ProtocolError, match="types eb, ab, in which time_s, voltage_v, current_a cannot be found"):
            await b.driver.galvanostatic(1e-12, duration_s)
        assert not b.mock.cell_is_on
        assert b.mock.record[-1] == "cell off"


@pytest.mark.parametrize(
    ("types", "places"),
    [
        ("eb ab ba", (0, 1, 2)),
        ("db da eb", (2, 1, 0)),
        ("ab ba", (None, 0, 1)),
        ("ba ab", (None, 1, 0)),
        ("eb da ab ba", (0, 2, 3)),
        ("ja jb jc", (0, 1, 2)),
        ("ja jb", (None, 0, 1)),
        ("eb da da", (0, 1, 2)),
        ("eb ba ab ee", (0, 2, 1)),
        ("eb ab", None),
        ("eb eb ba", None),
        ("eb ba ja", None),
        ("cc cd dc", None),
        ("eb", None),
    ],
)
def test_places(types: str, places: tuple[int | None, ...] | None) -> None:
    names = ["time_s", "voltage_v", "current_a"]
    expected = None if places is None else {n: p for n, p in zip(names, places, strict=True) if p is not None}
    assert places_of(names, tuple(types.split())) == expected


async def test_points_of_one_time_are_not_taken_for_one_line_that_came_twice() -> None:
    async with bench() as b:
        b.mock.rewrite = lambda line: line.replace(fields(line)["eb"], "eb8000001 ") if "dc" in line else line
        spectrum = await b.driver.impedance(1e3, 10.0, 5, bias_v=0.5)
        assert len(spectrum) == 5


async def test_the_first_row_lost_is_a_gap() -> None:
    async with bench(route=0) as b:
        seen: list[str] = []

        def lose_the_first(line: str) -> str | None:
            seen.append(line[:1])
            return None if line.startswith("P") and seen.count("P") == 1 else line

        b.mock.rewrite = lose_the_first
        block = await b.driver.open_circuit(1.0)
        assert np.flatnonzero(block["flags"] & Flag.GAP).tolist() == [0]
        assert block["time_s"][0] == 0.2


# --- status and errors ----------------------------------------------------------------------------------------------


async def test_single_overloads_are_flags_and_three_in_a_row_end_the_run() -> None:
    async with bench(route=0) as b:
        overloaded: set[int] = set()
        seen: list[str] = []

        def overload(line: str) -> str:
            if line.startswith("P"):
                seen.append(line)
                if len(seen) in overloaded:
                    return line.replace(fields(line)["ba"], fields(line)["ba"].replace(",10", ",12"))
            return line

        b.mock.rewrite = overload
        overloaded |= {2, 5, 6}
        block = await b.driver.galvanostatic(1e-9, 1.0)
        assert (len(block), block.end) == (10, EndReason.DURATION)
        assert np.flatnonzero(block["flags"] & Flag.OVERLOAD).tolist() == [1, 4, 5]
        seen.clear()
        overloaded.add(7)
        block = await b.driver.galvanostatic(1e-9, 1.0)
        assert block.end is EndReason.OVERLOAD
        assert not b.mock.cell_is_on


async def test_errors_show_what_failed_and_not_the_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.methodscript.script._silence", lambda interval_s: 0.3)
    monkeypatch.setattr(run, "_LOOK_S", 0.1)
    async with bench() as b:
        b.mock.fault_after = (3, 0x0032)
        with pytest.raises(DeviceError, match="0032") as overload:
            await b.driver.collect(SHORT)
        assert overload.value.sent == b"r\n"
        assert overload.value.received.startswith(b"!0032: Line")
        b.mock.lost_replies = {"r": 1}
        b.mock.rewrite = lambda line: None
        with pytest.raises(DeviceTimeout) as lost:
            await b.driver.collect(SHORT)
        assert (lost.value.sent, lost.value.received.strip()) == (b"r\n", b"")
        assert "answered before" in lost.value.hint
        b.mock.rewrite = lambda line: line
        async with aclosing(b.driver.run(Galvanostatic(current_a=1e-12, duration_s=1e5))) as blocks:
            await anext(blocks)
            b.mock.halt()
            with pytest.raises(DeviceTimeout) as silent:
                async for _ in blocks:
                    pass
        assert silent.value.sent == b"r\n"
        assert silent.value.received.startswith(b"P")
        assert "answered before" in silent.value.hint
        assert not b.mock.cell_is_on
