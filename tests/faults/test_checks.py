"""The three checks themselves: each finds what it is there for, and none passes when nothing was compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from drivers.errors import DeviceLost
from tests.bridge.conftest import Mosquitto

from .checks import check_error
from .conftest import RigMaker
from .recording import Recorder
from .rig import Rig

QUIET = "nothing was injected"


def first(recorder: Recorder) -> Any:
    return next(iter(recorder.streams.values()))


def lose(rig: Rig) -> None:
    del first(rig.recorder).rows[2]
    first(rig.recorder).indices.remove(2)


def swap(rig: Rig) -> None:
    indices = first(rig.recorder).indices
    indices[1], indices[2] = indices[2], indices[1]


def change(rig: Rig) -> None:
    first(rig.recorder).rows[2]["voltage_v"] *= 1 + 2**-52


def same(rig: Rig) -> None:
    row = first(rig.recorder).rows[0]
    first(rig.recorder).rows = dict.fromkeys(first(rig.recorder).rows, row)
    rig.witness.sent["emstat"] = [(row["voltage_v"], row["current_a"])] * 1000


def switch_on(rig: Rig) -> None:
    rig.mock("emstat").circuit.cell_is_on = True


def close(rig: Rig) -> None:
    rig.world.wiring.set_relay(1, True)


def forget(rig: Rig) -> None:
    rig.recorder.streams.clear()


FINDS: dict[str, tuple[Callable[[Rig], None], str]] = {
    "a sample that is missing": (lose, "did not come: all samples"),
    "samples out of order": (swap, "has gaps or is out of order"),
    "a value that differs in the last bit": (change, "is .*; sent were then"),
    "values that cannot be told apart": (same, "nothing was compared"),
    "a source that is on": (switch_on, "emstat is on"),
    "a relay that is closed": (close, "stage-ground"),
    "no samples": (forget, "no sample was compared"),
}


@pytest.mark.parametrize("what", FINDS)
async def test_what_is_wrong_is_found(path: RigMaker, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, complaint = FINDS[what]
    async with path("emstat") as rig:
        await rig.measured("emstat")
        await rig.check(quiet=QUIET)
        spoil(rig)
        until = rig.recorder.until
        monkeypatch.setattr(rig.recorder, "until", lambda condition, what: until(condition, what, 0.1))
        with pytest.raises(AssertionError, match=complaint):
            await rig.check(quiet=QUIET)


async def test_an_error_must_be_judged_or_it_is_said_why_there_is_none(path: RigMaker, mosquitto: Mosquitto) -> None:
    async with path("emstat") as rig:
        await rig.measured("emstat")
        with pytest.raises(AssertionError, match="either an error is judged"):
            await rig.check()
        rig.told(DeviceLost("the cable was pulled", device="emstat"), DeviceLost, "emstat")
        with pytest.raises(AssertionError, match="either an error is judged"):
            await rig.check(quiet=QUIET)
        checked = await rig.check()
        assert (checked.errors, checked.samples > 0, checked.devices) == (1, True, 1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"error": "PicobridgeError"}, "PicobridgeError"),
        ({"message": ""}, "says nothing"),
        ({"device": "stage"}, "stage"),
        ({"device": "", "operation": ""}, "unplugged|pulled"),
        ({"hint": ""}, "has no hint"),
    ],
)
def test_an_error_that_lacks_something_is_found(changes: dict[str, str], complaint: str) -> None:
    fields = DeviceLost("the cable was pulled", device="pstat").to_dict() | changes
    with pytest.raises(AssertionError, match=complaint):
        check_error(fields, DeviceLost, "pstat")
    with pytest.raises(AssertionError, match="nothing was told"):
        check_error(cast(Any, None), DeviceLost, "pstat")
