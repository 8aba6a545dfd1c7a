"""One client over several bridges on one broker: Python, and the command line."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge.client import connect, connect_all
from drivers.errors import BridgeUnreachable, InvalidValue, PicobridgeError
from tests.bridge.conftest import Mosquitto
from tests.cli.test_direct import run

from .conftest import DaemonMaker, done

pytestmark = pytest.mark.mosquitto


async def test_bridges_come_go_and_come_back(daemon: DaemonMaker, mosquitto: Mosquitto) -> None:
    async with (
        daemon("lab-a", mosquitto.address),
        connect_all(str(mosquitto.address), name="test") as labs,
        aclosing(labs.changes()) as changes,
    ):
        seen = [(change.bridge, change.online) for change in [await anext(changes)]]
        assert list(labs) == ["lab-a"]
        with pytest.raises(InvalidValue, match="bridge 'lab-b' is not known; accepted: lab-a"):
            labs["lab-b"]
        for _ in range(2):
            async with daemon("lab-b", mosquitto.address):
                change = await anext(changes)
                seen.append((change.bridge, change.online))
                assert (await labs["lab-b"].stage.position()).x_m == 0.0
                assert labs.online == ["lab-a", "lab-b"]
            change = await anext(changes)
            seen.append((change.bridge, change.online))
            with pytest.raises(BridgeUnreachable):
                await labs["lab-b"].request("ping")
        assert seen == [("lab-a", True), *[("lab-b", True), ("lab-b", False)] * 2]
        assert (await labs["lab-a"].request("ping"))["bridge"] == "lab-a", "whoever else comes and goes"


async def test_a_stop_reaches_every_bridge_also_if_one_is_gone(daemon: DaemonMaker, mosquitto: Mosquitto) -> None:
    async with daemon("lab-a", mosquitto.address) as a, daemon("lab-b", mosquitto.address) as b:
        async with connect_all(str(mosquitto.address), ask_devices=False) as labs:
            async with aclosing(labs.changes()) as changes:
                async with daemon("lab-c", mosquitto.address):
                    while (await anext(changes)).bridge != "lab-c":
                        pass
                gone = await anext(changes)
            assert (gone.bridge, gone.online) == ("lab-c", False)
            before = [done(one, "stage").count("stop") for one in (a, b)]
            outcomes = await labs.stop()
        assert [done(one, "stage").count("stop") for one in (a, b)] == [number + 1 for number in before]
        assert isinstance(outcomes["lab-c"], PicobridgeError)
        safe = {"pstat": "safe", "stage": "safe"}
        assert {name: outcomes[name]["devices"] for name in ("lab-a", "lab-b")} == {"lab-a": safe, "lab-b": safe}  # type: ignore[index]


async def test_the_command_line_over_several_bridges(
    daemon: DaemonMaker, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = ("--broker", str(mosquitto.address))
    async with daemon("lab-a", mosquitto.address) as a, daemon("lab-b", mosquitto.address, ("gauge",)):
        with pytest.raises(InvalidValue, match="several bridges are online: lab-a, lab-b; accepted: one") as caught:
            await run("devices", *broker)
        assert "--bridge NAME" in caught.value.hint
        with pytest.raises(BridgeUnreachable, match=r"no daemon is picobridge/lab-c on .*; online are lab-a, lab-b"):
            await connect(str(mosquitto.address), bridge="lab-c", find_s=0.2).__aenter__()
        assert await run("devices", *broker, "--bridge", "lab-b") == 0
        assert capsys.readouterr().out.startswith("gauge ")
        assert await run("devices", *broker, "--all-bridges", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert {name: list(devices) for name, devices in found.items()} == {
            "lab-a": ["pstat", "stage"],
            "lab-b": ["gauge"],
        }
        assert await run("monitor", *broker, "--all-bridges", "--count", "1") == 0
        assert capsys.readouterr().out.startswith("lab-")
        before = done(a, "stage").count("stop")
        assert await run("stop", *broker, "--all-bridges") == 0
        assert capsys.readouterr().out.count(": safe") == 3
        assert done(a, "stage").count("stop") == before + 1
    assert await run("bridges", *broker) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["lab-a", "offline"],
        ["lab-b", "offline"],
    ]
    with pytest.raises(InvalidValue, match="nothing was stopped"):
        await run("stop", *broker, "--all-bridges")


async def test_one_command_records_the_runs_of_every_bridge(
    daemon: DaemonMaker, mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    async with daemon("lab-a", mosquitto.address, ("pstat",)), daemon("lab-b", mosquitto.address, ("pstat",)):
        words = ("--broker", str(mosquitto.address), "--all-bridges", "--folder", str(folder), "--only-samples")
        recording = asyncio.create_task(run("record", *words))
        said = ""
        async with asyncio.timeout(20):
            while said.count("Ctrl-C ends it") < 2:
                said += capsys.readouterr().out
                await asyncio.sleep(0.01)
        async with connect_all(str(mosquitto.address)) as labs:
            technique = {"technique": "galvanostatic", "current_a": 1e-9, "duration_s": 2.0, "interval_s": 0.1}
            for bridge in labs:
                await labs[bridge].run("technique", technique, {"potentiostat": "pstat"})
        async with asyncio.timeout(20):
            while said.count("recorded ") < 2:
                said += capsys.readouterr().out
                await asyncio.sleep(0.01)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
    assert capsys.readouterr().out.count("1 runs, 20 samples, 0 missing") == 2
    assert [len(list((folder / bridge).glob("*/*.cborseq"))) for bridge in ("lab-a", "lab-b")] == [1, 1]
