"""The stage through RemCon32 on a serial line: what the world sees under the beam stays there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.procedures.contact.touched import forget_contact, remember_contact
from bridge.procedures.context import Answer, Question
from bridge.procedures.registry import find
from drivers.errors import InvalidValue, LinkError, MoveFailed, Refused
from drivers.interfaces import Device, ManipulatorPosition
from drivers.registry import create
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served, serve
from mocks.world import World
from tests.near import near

from .bench import BenchManipulator

CENTRE = (0.060, 0.065)
EUCENTRIC_M = 0.030
CENTRES = {"rotation_centre_x": CENTRE[0], "rotation_centre_y": CENTRE[1]}
SEEN = {"touch_alarm": "seen armed", "tip": "seen drawn back"}


class Heard(list[str]):
    """A mock's record that tells when the stage has been sent somewhere."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    def append(self, entry: str) -> None:
        super().append(entry)
        if entry.startswith("C95 "):
            self.sent.set()


class Bridge:
    """A context with a stage on its wire, and a manipulator if one is in the run."""

    run = "run-7"

    def __init__(self, world: World, stage: Device, mock: ZeissRemconMock, served: Served) -> None:
        self.world, self.stage, self.mock, self.served = world, stage, mock, served
        self.devices: dict[str, Device] = {"stage": stage}
        self.questions: list[Question] = []
        self.answer = ""
        self.notes: list[str] = []

    def device(self, role: str) -> Device:
        return self.devices[role]

    def has(self, role: str) -> bool:
        return role in self.devices

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        """There are no interlocks here."""

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        pass

    def note(self, text: str, **values: Any) -> None:
        self.notes.append(text)

    async def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        return Answer(self.answer or question.choices[0], by="ana")

    async def do(self, name: str, **values: Any) -> dict[str, Any]:
        procedure = find(name)
        return await procedure.run(cast(Any, self), procedure.parse(values))

    def under_the_beam(self, height_m: float = 0.0) -> tuple[float, float, float]:
        """The feature (in the sample's own axes) that is under the beam now, so high above the axis of tilt."""
        stage = self.world.chamber.stage
        assert stage.tilt_deg == stage.rotation_deg == 0.0
        return CENTRE[0] - stage.x_m, CENTRE[1] - stage.y_m, EUCENTRIC_M + height_m - stage.z_m


@asynccontextmanager
async def bridged(wire: str = "pty", **mock: Any) -> AsyncIterator[Bridge]:
    world = World(noise=False)
    world.chamber.set_stage(0.0612, 0.0655, 0.0298, 0.0, 0.0)
    world.chamber.rotation_centre_m, world.chamber.eucentric_z_m = CENTRE, EUCENTRIC_M
    instrument = ZeissRemconMock(world, "stage", **mock)
    async with serve(instrument, wire=wire) as served:
        stage = create("zeiss-remcon", served.address, {}, device="stage", clock=world.host_clock("stage"))
        await stage.connect()
        try:
            yield Bridge(world, stage, instrument, served)
        finally:
            await stage.transport.close()


async def test_tilt_to_52_and_half_a_turn_keep_the_feature_under_the_beam() -> None:
    async with bridged() as lab:
        feature = lab.under_the_beam(100e-6)
        assert lab.world.chamber.seen_at(feature) == near((0.0, 0.0, 100e-6), abs=1e-12)
        tilted = await lab.do("stage-move", tilt="52 deg", height="100 um", **SEEN)
        assert lab.world.chamber.stage.tilt_deg == 52.0
        assert lab.world.chamber.seen_at(feature) == near((0.0, 0.0, 100e-6), abs=20e-9)
        assert tilted["feature_moved_m"] == near([0.0, 0.0, 0.0], abs=20e-9)
        assert tilted["legs"][-1]["why"] == "tilt"
        turned = await lab.do("stage-move", rotate_by="180 deg", height="100 um", **CENTRES, **SEEN)
        assert lab.world.chamber.stage.rotation_deg == 180.0
        assert lab.world.chamber.seen_at(feature) == near((0.0, 0.0, 100e-6), abs=20e-9)
        assert turned["legs"][0]["why"] == "untilt", "never rotated at 52 deg"
        back = await lab.do("stage-move", rotation="0 deg", tilt="0 deg", height="100 um", **CENTRES, **SEEN)
        assert lab.world.chamber.seen_at(feature) == near((0.0, 0.0, 100e-6), abs=20e-9)
        assert back["position"]["x_m"] == near(0.0612, abs=10e-9)


async def test_x_and_y_arrive_from_below_whichever_way_they_come() -> None:
    async with bridged() as lab:
        for x_mm in (61.0, 62.0):
            await lab.do("stage-move", x=f"{x_mm} mm", **SEEN)
            moves = [entry for entry in lab.mock.record if entry.startswith("C95 ")][-2:]
            first, last = (float(move.split()[1]) for move in moves)
            assert (first, last) == near((x_mm - 0.1, x_mm), abs=1e-6)


async def test_axes_kept_instead_of_the_feature() -> None:
    async with bridged() as lab:
        feature = lab.under_the_beam(100e-6)
        result = await lab.do("stage-move", tilt=52, keep="axes", height="100 um", **SEEN)
        assert lab.world.chamber.seen_at(feature)[1] == near(-78.80e-6, abs=0.05e-6)
        assert result["feature_moved_m"][1] == near(-78.80e-6, abs=0.05e-6)


async def test_a_rotation_needs_its_axis() -> None:
    async with bridged() as lab:
        with pytest.raises(InvalidValue, match="rotation_centre_x_m and rotation_centre_y_m are not given"):
            await lab.do("stage-move", rotate_by=180, **SEEN)
        assert not [entry for entry in lab.mock.record if entry.startswith("C95 ")]


async def test_beyond_the_limits_nothing_moves() -> None:
    async with bridged() as lab:
        with pytest.raises(InvalidValue, match="x_m would be -"):
            await lab.do("stage-move", x="0 mm", **SEEN)
        assert not [entry for entry in lab.mock.record if entry.startswith("C95 ")]


async def test_an_alarm_that_is_not_told_is_asked_for() -> None:
    async with bridged() as lab:
        await lab.do("stage-move", x="62 mm")
        assert "armed" in lab.questions[0].text
        lab.answer = "do not move"
        with pytest.raises(Refused, match="the touch alarm is not armed"):
            await lab.do("stage-move", x="63 mm")
        assert lab.world.chamber.stage.x_m == near(0.062)


async def test_an_alarm_that_is_blind_refuses() -> None:
    async with bridged() as lab:
        lab.mock.monitor_on = True
        with pytest.raises(Refused, match="the touch alarm is disabled"):
            await lab.do("stage-move", x="62 mm", **SEEN)
        assert lab.world.chamber.stage.x_m == near(0.0612)


async def test_in_contact_the_stage_stays() -> None:
    async with bridged() as lab:
        tip = BenchManipulator(lab.world)
        lab.devices["manipulator"] = tip
        remember_contact(tip.name, ManipulatorPosition(0.0, 0.0, -20e-6, closed_loop=False))
        try:
            lab.world.tip.z_m = -20.1e-6
            with pytest.raises(Refused, match="the tip is 100 nm from where it made contact") as refusal:
                await lab.do("stage-move", x="62 mm", **SEEN)
            assert "50 um" in refusal.value.hint
            assert lab.world.chamber.stage.x_m == near(0.0612)
            lab.world.tip.z_m = 40e-6
            result = await lab.do("stage-move", x="62 mm", **SEEN)
            assert result["safety"]["tip"] == "60 um from where it touched last"
        finally:
            forget_contact(tip.name)


async def test_a_tip_of_which_nothing_is_known_is_asked_for() -> None:
    async with bridged() as lab:
        lab.devices["manipulator"] = BenchManipulator(lab.world)
        lab.answer = "do not move"
        with pytest.raises(Refused, match="the tip is not drawn back"):
            await lab.do("stage-move", x="62 mm")


async def test_a_stage_that_is_blocked_ends_the_path_where_it_is() -> None:
    async with bridged() as lab:
        lab.mock.short_of_x_mm = 0.5
        with pytest.raises(MoveFailed, match="elsewhere"):
            await lab.do("stage-move", x="62 mm", tilt=10, **SEEN)
        assert lab.world.chamber.stage.tilt_deg == 0.0, "the legs after it are not begun"
        assert not lab.world.chamber.stage_moving


async def test_abort_on_the_way_stops_the_stage() -> None:
    async with bridged(speed_mm_per_s=1e-9) as lab:
        heard = lab.mock.record = Heard()
        task = asyncio.create_task(lab.do("stage-move", x="62 mm", **SEEN))
        await heard.sent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "ABO" in lab.mock.record
        assert not lab.world.chamber.stage_moving


async def test_a_wire_that_is_lost_says_that_the_stage_may_move() -> None:
    async with bridged(speed_mm_per_s=1e-9) as lab:
        heard = lab.mock.record = Heard()
        task = asyncio.create_task(lab.do("stage-move", x="62 mm", **SEEN))
        await heard.sent.wait()
        await lab.served.unplug()
        with pytest.raises(LinkError) as lost:
            await task
        assert "may still be moving" in lost.value.hint
        assert "could not be proven at rest" in lab.notes[0]


async def test_named_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOBRIDGE_POSITIONS", str(tmp_path / "here"))
    async with bridged() as lab:
        saved = await lab.do("save-position", position="lamella", text="before the lift-out")
        assert saved["position"]["x_m"] == near(0.0612)
        await lab.do("stage-move", x="70 mm", z="20 mm", **SEEN)
        there = await lab.do("go-to", position="lamella", **SEEN)
        assert there["position"] == near(saved["position"], abs=1e-9)
        assert there["saved"] == {"text": "before the lift-out", "run": "run-7", "at_ns": there["saved"]["at_ns"]}
        assert [leg["why"] for leg in there["legs"]] == ["take up the play", "xy", "z-up"]
        with pytest.raises(InvalidValue, match="position 'grid' of stage is not known; there are: lamella"):
            await lab.do("go-to", position="grid", **SEEN)
        (tmp_path / "here" / "stage-positions.json").write_text("{")
        with pytest.raises(Refused, match="is no list of positions"):
            await lab.do("go-to", position="lamella", **SEEN)
