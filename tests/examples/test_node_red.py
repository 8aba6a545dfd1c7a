"""The flow of `examples/node-red`, in Node-RED itself without a screen: its buttons are pressed as the editor does, and
what it shows is read where the editor reads it."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from bridge.daemon.config import BrokerConfig
from bridge.transfer.mqtt import BrokerAddress
from tests.bridge.conftest import Mosquitto, free_port
from tests.bridge.listener import listen
from tests.client.conftest import BenchMaker

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "examples" / "node-red" / "flow.json"
PROGRAM = ROOT / "tests" / "node-red" / "node_modules" / "node-red" / "red.js"
SETTINGS = """module.exports = {
    flowFile: "flow.json", uiHost: "127.0.0.1", telemetry: { enabled: false }, diagnostics: { enabled: false },
    editorTheme: { tours: false }, logging: { console: { level: "warn" } },
};
"""
PATIENCE_S = 50.0


class Editor:
    """What somebody in front of Node-RED sees and presses. `shown` is (node, text) in order of appearance: the status
    below a node, and what a debug node put out."""

    def __init__(self, url: str, socket: Any) -> None:
        self.shown: list[tuple[str, str]] = []
        self._url = url
        self._socket = socket

    async def press(self, button: str) -> None:
        request = urllib.request.Request(f"{self._url}/inject/{button}", data=b"", method="POST")
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=PATIENCE_S).close())

    async def sees(self, node: str, fits: Callable[[str], bool]) -> str:
        """The first that a node shows, from now on or before, and that fits."""
        async with asyncio.timeout(PATIENCE_S):
            while not (texts := [text for where, text in self.shown if where == node and fits(text)]):
                for message in _list(json.loads(await self._socket.recv())):
                    self._take(message["topic"], message["data"])
        return texts[0]

    def _take(self, topic: str, data: Any) -> None:
        if topic == "debug":
            self.shown.append((data["id"], data["msg"]))
        elif topic.startswith("status/") and "text" in data:
            self.shown.append((topic.removeprefix("status/"), data["text"]))


def _list(message: Any) -> list[Any]:
    return message if isinstance(message, list) else [message]


@asynccontextmanager
async def node_red(folder: Path, broker: BrokerAddress) -> AsyncIterator[Editor]:
    """With the example's flow, but for the broker's port."""
    port, url = free_port(), ""
    flow = json.loads(FLOW.read_text())
    (node,) = (node for node in flow if node["type"] == "mqtt-broker")
    node["broker"], node["port"] = broker.host, str(broker.port)
    (folder / "flow.json").write_text(json.dumps(flow))
    (folder / "settings.js").write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        *("node", str(PROGRAM), "--userDir", str(folder), "--port", str(port)), stdout=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(_flows_are_up, url):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        async with websockets.connect(f"ws://127.0.0.1:{port}/comms") as socket:
            await socket.send(json.dumps({"subscribe": "debug"}))
            await socket.send(json.dumps({"subscribe": "status/#"}))
            yield Editor(url, socket)
    finally:
        process.terminate()
        await process.wait()


def _flows_are_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/flows/state", timeout=5) as answer:
            return bool(json.load(answer)["state"] == "start")
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.node_red
@pytest.mark.mosquitto
async def test_the_flow_shows_starts_follows_stops_and_alarms(
    bench: BenchMaker, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    broker = BrokerConfig(address=mosquitto.address)
    (tmp_path / "node-red").mkdir()
    async with (
        bench("pstat", broker=broker, speed=50.0) as b,
        listen(mosquitto.address, f"{b.daemon.topics.prefix}/#") as listener,
        node_red(tmp_path / "node-red", mosquitto.address) as editor,
    ):
        await editor.sees("pb-health", lambda text: text.endswith(".connected"))
        await editor.press("pb-start")
        assert "was started" in await editor.sees("pb-run", lambda text: True)
        await editor.sees("pb-follow", lambda text: text.startswith("noise-test running:"))
        ended = json.loads(await editor.sees("pb-run", lambda text: text.startswith("{")))
        result = await listener.json(b.daemon.topics.run_result(ended["run"]))
        assert ended["status"] == result["status"] == "finished"
        assert ended["verdict"] == result["result"]["verdict"]
        assert ended["mean_a"] == result["result"]["mean_a"]
        shown = await editor.sees("pb-show", lambda text: "current_a" in text)
        assert shown.startswith("pstat: voltage_v ")
        values = [json.loads(text) for node, text in editor.shown if node == "pb-values"]
        assert values[-1] in [json.loads(payload) for payload in listener.of(b.daemon.topics.latest("pstat"))]

        editor.shown.clear()
        await editor.press("pb-start")
        run = (await editor.sees("pb-run", lambda text: "was started" in text)).split()[1]
        await editor.press("pb-press")
        assert json.loads(await editor.sees("pb-run", lambda text: text.startswith("{")))["status"] == "aborted"
        assert (await listener.json(b.daemon.topics.run_result(run)))["status"] == "aborted"

        assert not [text for node, text in editor.shown if node == "pb-alarm"]
        await listener.request(b.daemon.topics.prefix, "emergency_stop", {})
        assert await editor.sees("pb-alarm", lambda text: True) == "emergency stop, pressed by test"
        assert await editor.sees("pb-faults", lambda text: "emergency" in text)
