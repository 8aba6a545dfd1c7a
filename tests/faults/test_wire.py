"""Rows 23 to 30: what happens to bytes between an instrument and its driver.

Each fault strikes once in the middle of a measurement (a potentiostat), or while the device is asked (the others). No
value may be told that the instrument did not send: the helper compares every one with the mock's record.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.daemon import connection
from bridge.safety.interlock_options import InterlockOptions
from drivers.errors import InterlockViolated, PicobridgeError
from mocks.instruments.modbus_relay import crc16

from .conftest import RigMaker
from .rig import RULES_OFF, Rig

#: what the other devices are asked
QUESTIONS = {"stage": "position", "tip": "position", "relays": "route", "gauge": "pressure"}
#: an instrument that is asked several times before it is given up
IMPATIENT = {"pstat": {"timeout": 0.1}}


async def strike(rig: Rig, device: str, **fault: Any) -> dict[str, Any]:
    """The fault meets a reply in the middle of a measurement. Returns the run's result."""
    run = await rig.measuring(device)
    (rule,) = rig.served[device].faults.script([fault])
    result = await rig.recorder.newest(f"runs/{run.id}/result", timeout_s=15.0)
    assert rule.hits, "the fault did not strike"
    rig.served[device].faults.clear()
    return dict(result)


async def healed(rig: Rig, device: str) -> None:
    """The device is in step again, by itself."""
    await rig.acknowledged(device)
    await rig.measured(device)
    await rig.check()


async def ask_all_along(rig: Rig, device: str, truth: Any) -> int:
    """Ask until the fault has struck and is over; every answer must be true, and some must come. Returns how many
    errors there were."""
    errors = answers = 0
    while answers < 3:
        try:
            answer = await getattr(rig.lab[device], QUESTIONS[device])()
        except PicobridgeError as error:
            errors += 1
            rig.told(error, type(error), device)
            assert errors < 5
            await rig.connection(device, "connected")
        else:
            assert truth(answer), answer
            answers += 1
    return errors


def truth_of(rig: Rig, device: str) -> Any:
    stage, tip = rig.world.chamber.stage, rig.world.tip
    return {
        "stage": lambda a: abs(a.x_m - stage.x_m) < 1e-7,
        "tip": lambda a: abs(a.x_m - tip.x_m) < 1e-7,
        "relays": lambda a: a == "feedthrough",
        "gauge": lambda a: not a.valid or abs(a.pressure_pa / rig.world.chamber.pressure_pa - 1) < 1e-3,
    }[device]


GARBAGE = {
    "before": {"fault": "garbage", "data": "ff 13 41"},
    "inside": {"fault": "corrupt", "mask": 0x80, "offset": 2},
    "after": {"fault": "garbage", "data": "ff 13 41", "after": True},
}


@pytest.mark.parametrize("where", GARBAGE)
@pytest.mark.parametrize("device", ["pstat", "emstat"])
async def test_23_garbage_in_a_measurement(path: RigMaker, device: str, where: str) -> None:
    """23. Bytes that mean nothing come before, inside or after a reply. The user sees the run end with the source off
    and the reason, or nothing at all where the frame shows by itself which bytes are its own; never a wrong value."""
    async with path(device) as rig:
        run = await rig.measuring(device)
        (rule,) = rig.served[device].faults.script([GARBAGE[where]])
        await rig.arrived_or_ended(run, device, 20)
        assert rule.hits == 1
        if not run.ended:
            await run.abort()
            await rig.check(quiet="the frame was told from the garbage; nothing was lost")
        else:
            error = (await rig.ended(run))["error"]
            rig.told(error, rig.kind(error), device)
        await rig.measured(device)
        await rig.check(quiet="" if rig.judged else "nothing was lost")


@pytest.mark.parametrize("where", GARBAGE)
@pytest.mark.parametrize("device", QUESTIONS)
async def test_23_garbage_in_an_answer(path: RigMaker, device: str, where: str) -> None:
    """23. As above while a device is asked: the answer is right, or an error."""
    async with path("emstat", device) as rig:
        rig.served[device].faults.script([GARBAGE[where]])
        await ask_all_along(rig, device, truth_of(rig, device))
        await rig.measured("emstat")
        await rig.check(quiet="" if rig.judged else "the answer was right in spite of it")


@pytest.mark.parametrize(("offset", "mask"), [(10, 0x06), (24, 0x06)], ids=["volts", "amperes"])
async def test_24_a_flipped_bit_that_makes_an_impossible_value(path: RigMaker, offset: int, mask: int) -> None:
    """24. A bit of an exponent flips, the length stays: 160 mV become 16 V, a nanoampere a gigaampere. It is never
    told as a value; the instrument is asked again, and one such reading ends no run."""
    async with path("pstat", options={"pstat": {"compliance": 1.5}}) as rig:  # so on the range of 2 V
        run = await rig.measuring("pstat")
        (rule,) = rig.served["pstat"].faults.script([{"fault": "corrupt", "offset": offset, "mask": mask}])
        await rig.arrived_or_ended(run, "pstat", 20)
        assert rule.hits == 1
        if run.ended:
            error = (await rig.ended(run))["error"]
            rig.told(error, rig.kind(error), "pstat")
        else:
            await run.abort()
        await rig.check(quiet="" if rig.judged else "asked again")


async def test_25_no_reply_in_a_measurement(path: RigMaker) -> None:
    """25. The instrument falls silent while the source is on. The user sees the run fail because the cell is not proven
    off; as soon as it answers again it is off."""
    async with path("pstat", options=IMPATIENT) as rig:
        result = await strike(rig, "pstat", fault="silence")
        assert result["status"] == "failed"
        rig.told(result["error"], rig.kind(result["error"]), "pstat")
        await healed(rig, "pstat")


async def test_25_what_needs_the_source_off_goes_again(path: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """25. The same on a rig whose feedthrough is switched at zero current only. The instrument that answers again is
    switched off and proven off without being asked to: the next switching is not refused for ever."""
    monkeypatch.setattr(connection, "POTENTIOSTAT_POLL_S", 1.0)
    rules = InterlockOptions(off=tuple(rule for rule in RULES_OFF if rule != "zero-current"))
    async with path("pstat", "relays", options=IMPATIENT, interlocks=rules) as rig:
        result = await strike(rig, "pstat", fault="silence")
        error = await rig.refused(rig.lab.relays.select("feedthrough"))
        rig.told(error, InterlockViolated, "relays")
        assert "pstat.cell is unknown" in error.message
        async with asyncio.timeout(20):
            while True:
                try:
                    await rig.lab.relays.select("feedthrough")
                    break
                except InterlockViolated:
                    await asyncio.sleep(0.05)
        rig.told(result["error"], rig.kind(result["error"]), "pstat")
        assert not [event for event in rig.recorder.told["events"] if "is lost" in event["text"]]
        await healed(rig, "pstat")


async def test_25_no_reply_to_a_move(path: RigMaker) -> None:
    """25. The reply to a move is lost. The move is not sent again; the user gets an error or, if the position read back
    proves it, the move's result."""
    async with path("emstat", "stage") as rig:
        target = rig.world.chamber.stage.x_m + 1e-3
        rig.served["stage"].faults.script([{"fault": "silence", "times": 1}])
        try:
            reached = await rig.lab.stage.move_by(x_m=1e-3)
            assert abs(reached.x_m - target) < 5e-6
        except PicobridgeError as error:
            rig.told(error, type(error), "stage")
        await rig.connection("stage", "connected")
        assert rig.witness.moves("stage") <= 1
        await rig.lab.stage.stop()
        await rig.measured("emstat")
        await rig.check(quiet="" if rig.judged else "read back: the stage is where it was sent")


@pytest.mark.parametrize("device", QUESTIONS)
async def test_26_late_reply(path: RigMaker, device: str) -> None:
    """26. A reply comes after its deadline, with the next question. The user sees one time-out; the late reply is never
    taken for the answer to the next question."""
    async with path("emstat", device) as rig:
        rig.served[device].faults.late()
        await ask_all_along(rig, device, truth_of(rig, device))
        await rig.measured("emstat")
        await rig.check(quiet="" if rig.judged else "asked again, and the late reply was discarded")


@pytest.mark.parametrize("device", ["pstat", "tdstat"])
async def test_26_late_sample(path: RigMaker, device: str) -> None:
    """26. A sample comes after its deadline, with the next question. The instrument is asked again, the run goes on,
    and the late sample is nobody's answer."""
    async with path(device) as rig:
        run = await rig.measuring(device)
        rule = rig.served[device].faults.late()
        await rig.arrived_or_ended(run, device, 20)
        assert rule.hits == 1
        assert not run.ended
        await run.abort()
        await rig.measured(device)
        await rig.check(quiet="asked again, and the late reply was discarded")


@pytest.mark.parametrize("device", QUESTIONS)
async def test_27_duplicated_reply(path: RigMaker, device: str) -> None:
    """27. A reply comes twice. The second one is discarded; the user notices nothing."""
    async with path("emstat", device) as rig:
        rule = rig.served[device].faults.duplicate()
        await ask_all_along(rig, device, truth_of(rig, device))
        assert rule.hits == 1
        await rig.measured("emstat")
        await rig.check(quiet="" if rig.judged else "the second reply was discarded")


@pytest.mark.parametrize("device", ["pstat", "tdstat"])
async def test_27_duplicated_sample(path: RigMaker, device: str) -> None:
    """27. A reply with a sample comes twice. It is in the record once."""
    async with path(device) as rig:
        run = await rig.measuring(device)
        rule = rig.served[device].faults.duplicate()
        await rig.arrived_or_ended(run, device, 20)
        assert rule.hits == 1
        if run.ended:
            error = (await rig.ended(run))["error"]
            rig.told(error, rig.kind(error), device)
        else:
            await run.abort()
        await rig.measured(device)
        await rig.check(quiet="" if rig.judged else "the second one was discarded")


async def test_28_partial_frame_then_silence(path: RigMaker) -> None:
    """28. Half a reply, then nothing. The user sees the run end by a time-out that says how much came, or by the cell
    not being proven off; the half is never a value."""
    async with path("pstat", options=IMPATIENT) as rig:
        run = await rig.measuring("pstat")
        faults = rig.served["pstat"].faults
        faults.script([{"fault": "drop", "offset": 3}, {"fault": "silence", "nth": 2}])
        result = await rig.recorder.newest(f"runs/{run.id}/result", timeout_s=15.0)
        rig.told(result["error"], rig.kind(result["error"]), "pstat")
        faults.clear()
        await healed(rig, "pstat")


@pytest.mark.parametrize("fault", ["split", "merge"])
@pytest.mark.parametrize("device", ["pstat", "emstat", "stage", "relays", "gauge"])
async def test_29_cut_into_bytes_or_all_at_once(path: RigMaker, device: str, fault: str) -> None:
    """29. Replies come byte by byte, or several in one read. The user notices nothing."""
    if fault == "merge" and device != "emstat":
        rest: dict[str, Any] = {"fault": "split", "nth": 2}  # only a device that streams sends several unasked
    else:
        rest = {"fault": fault, **({"count": 10} if fault == "merge" else {})}
    async with path(*dict.fromkeys(["emstat", device])) as rig:
        if device in QUESTIONS:
            rig.served[device].faults.script([rest])
            assert await ask_all_along(rig, device, truth_of(rig, device)) == 0
            await rig.measured("emstat")
        else:
            run = await rig.measuring(device)
            rig.served[device].faults.script([rest])
            await rig.arrived(device, 40)
            rig.served[device].faults.clear()
            await run.abort()
        await rig.check(quiet="every value was right")


async def test_30_a_reply_of_another_unit_on_the_bus(path: RigMaker) -> None:
    """30. On the shared bus another unit answers first. Its reply is ignored; the answer is the right one or an
    error."""
    body = bytes((2, 1, 1, 0b0100))  # unit 2 has relay 2 closed
    crc = crc16(body)
    frame = (body + bytes((crc & 0xFF, crc >> 8))).hex(" ")
    async with path("emstat", "relays") as rig:
        rig.served["relays"].faults.script([{"fault": "garbage", "data": frame, "times": 1}])
        await ask_all_along(rig, "relays", truth_of(rig, "relays"))
        await rig.measured("emstat")
        await rig.check(quiet="" if rig.judged else "the other unit's reply was ignored")
