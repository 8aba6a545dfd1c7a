"""`picobridge probe`, `do`, `drivers`: as a person types them, against simulated instruments on their wires."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.cli.direct import parse_calls, parse_options
from bridge.cli.main import build_parser
from drivers import registry
from drivers.errors import InvalidValue
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served, serve
from mocks.world import World
from tests.bridge.conftest import eventually
from tests.near import near


@asynccontextmanager
async def mock(driver: str) -> AsyncIterator[Served]:
    instrument = registry.load(registry.find(driver).mock)(World(speed=1000, flows=True), driver)
    async with serve(instrument) as served:
        yield served


async def run(*words: str) -> int:
    args = build_parser(words[0]).parse_args(words)
    status: int = await args.function(args)
    return status


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_a_sequence_of_calls_on_one_connection(capsys: pytest.CaptureFixture[str]) -> None:
    async with mock("zeiss-remcon") as served:
        words = ["move_to", "x=1.5mm", "tilt=52deg", "--then", "move_by", "x=-10um", "--then", "position"]
        assert await run("do", "zeiss-remcon", served.address, "--json", *words) == 0
    first, _, last = lines(capsys)
    assert first["method"] == "move_to"
    assert (first["x_m"], first["tilt_deg"]) == (0.0015, 52.0)
    assert last["x_m"] == near(0.00149, rel=1e-12)


async def test_nothing_is_sent_if_a_later_call_of_the_sequence_is_wrong() -> None:
    async with mock("zeiss-remcon") as served:
        with pytest.raises(InvalidValue, match=r"no parameter 'q'; accepted: x, y, z, tilt, rotation"):
            await run("do", "zeiss-remcon", served.address, "move_to", "x=1mm", "--then", "move_to", "q=1")
        assert served.instrument.record == []


async def test_option_values_are_toml(capsys: pytest.CaptureFixture[str]) -> None:
    async with mock("modbus-relay") as served:
        option = "routes={feedthrough=[0], stage-ground=[1]}"
        words = ["--option", option, "--json", "route", "--then", "select", "route=stage-ground", "--then", "route"]
        assert await run("do", "modbus-relay", served.address, *words) == 0
    assert [line["route"] for line in lines(capsys)] == ["open", "stage-ground", "stage-ground"]


async def test_probe_says_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    async with mock("newfocus-8742") as served:
        assert await run("probe", "newfocus-8742", served.address, "--json") == 0
    (found,) = lines(capsys)
    assert found["interface"] == "manipulator"
    assert found["identity"]["model"] == "8742"  # type: ignore[index]
    assert found["capabilities"]["closed_loop"] is False  # type: ignore[index]


async def test_capture_file_holds_what_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "gauge.jsonl"
    async with mock("pfeiffer-tpg") as served:
        assert await run("do", "pfeiffer-tpg", served.address, "--capture", str(capture), "pressure") == 0
    assert "pressure_pa: 0.0005" in capsys.readouterr().out
    sent = b"".join(
        bytes.fromhex(entry["hex"])
        for entry in map(json.loads, capture.read_text().splitlines()[1:])
        if entry["dir"] == ">"
    )
    assert b"PR1" in sent
    assert b"\x05" in sent


async def test_wrong_words_say_what_is_accepted() -> None:
    for words, message in (
        (("do", "zeiss", "serial:/dev/null", "position"), "driver 'zeiss' is not known; accepted: methodscript"),
        (("do", "zeiss-remcon", "usb:1:2", "position"), "takes no address 'usb:1:2'; accepted: serial:, tcp:, visa:"),
        (
            ("do", "zeiss-remcon", "serial:/dev/null", "mov"),
            "a stage has no method 'mov'; accepted: identify, position",
        ),
        (("do", "zeiss-remcon", "serial:/dev/null"), "a method is needed; accepted: identify"),
        (("do", "zeiss-remcon", "serial:/dev/null", "move_to", "x"), "'x': NAME=VALUE is accepted after move_to"),
        (("do", "zeiss-remcon", "serial:/dev/null", "move_to", "x=1V"), "x is '1V'; a quantity such as '1.5 mm'"),
        (
            ("do", "zeiss-remcon", "serial:/dev/null", "--option", "q=1", "position"),
            "option 'q' is not known; accepted",
        ),
    ):
        with pytest.raises(InvalidValue) as caught:
            await run(*words)
        assert message in str(caught.value)


async def test_every_driver_is_listed_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("drivers", "--json") == 0
    listed = {str(line["driver"]): line for line in lines(capsys)}
    assert set(listed) == {entry.name for entry in registry.DRIVERS}
    assert any(option["name"] == "routes" for option in listed["modbus-relay"]["options"])  # type: ignore[union-attr,attr-defined]


async def test_a_failure_is_an_object_and_exit_status_1(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(".venv/bin/picobridge", "do", "zeiss-remcon", f"serial:{tmp_path}/none", "--json", "position"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    out, _ = await process.communicate()
    failure = json.loads(out)
    assert process.returncode == 1
    assert failure["error"] == "DeviceLost"
    assert f"{tmp_path}/none" in failure["message"]
    assert failure["hint"]


def test_options_and_calls_are_told_apart() -> None:
    assert parse_options(["step_size_m=30nm", "unit=2", "routes={a=[0]}"]) == {
        "step_size_m": "30nm",
        "unit": 2,
        "routes": {"a": [0]},
    }
    args = build_parser("do").parse_args(["do", "zeiss-remcon", "serial:/dev/x", "position", "--json"])
    assert parse_calls(args.calls, args) == [("position", {})]
    assert args.json


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_in_the_middle_of_a_move_stops_it_and_says_so(number: signal.Signals, status: int) -> None:
    world = World(speed=1.0, flows=True)
    async with serve(ZeissRemconMock(world, "stage")) as served:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge.cli.main", "do", "zeiss-remcon", served.address),
            *("--json", "position", "--then", "move_to", "x=100mm"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["method"] == "position"
        await eventually(lambda: world.chamber.stage_moving)
        process.send_signal(number)
        out, _ = await process.communicate()
        assert process.returncode == status
        assert json.loads(out)["error"] == "Interrupted"
        await eventually(lambda: not world.chamber.stage_moving)
        assert "ABO" in served.instrument.record
