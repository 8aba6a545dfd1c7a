"""The dashboard, its data sources and the alerts: read by Grafana's own model of a dashboard, asked of a real
Prometheus that scrapes a daemon, held against what the daemon publishes. Grafana itself could not be had."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from bridge.daemon.config import MetricsConfig
from bridge.transfer.topics import Topics
from tests.bridge.conftest import RigMaker, free_port
from tests.bridge.fakes import ramp
from tests.conftest import PROMETHEUS

EXAMPLES = Path(__file__).parents[2] / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana" / "picobridge.json").read_text())
SOURCES = yaml.safe_load((EXAMPLES / "grafana" / "provisioning" / "datasources" / "picobridge.yaml").read_text())
#: What Grafana puts in place of its variables.
VARIABLES = {"$bridge": "lab", "$device": "pstat", "$__rate_interval": "1m"}
PATIENCE_S = 30.0


def targets(kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Panels with their queries, of one kind of data source."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == kind:
                yield panel, target


def filled_in(text: str) -> str:
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def test_grafana_knows_every_key_of_the_dashboard() -> None:
    plugins.register_default_plugins()
    back = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert lost(DASHBOARD, back) == []


def lost(here: Any, there: Any, path: str = "") -> list[str]:
    """What is not the same there."""
    if isinstance(here, dict) and isinstance(there, dict):
        return [text for key in here for text in lost(here[key], there.get(key), f"{path}.{key}")]
    if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        return [text for i, pair in enumerate(zip(here, there, strict=True)) for text in lost(*pair, f"{path}[{i}]")]
    return [] if here == there else [f"{path}: {here!r}, {there!r}"]


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    places: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert places.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_data_sources_are_those_that_are_provisioned() -> None:
    provided = {(source["type"], source["uid"]) for source in SOURCES["datasources"]}
    used = {
        (where["datasource"]["type"], where["datasource"]["uid"])
        for where in (*DASHBOARD["panels"], *DASHBOARD["templating"]["list"])
        if "datasource" in where
    }
    assert used == provided


async def test_the_live_panels_show_what_latest_has(rig: RigMaker) -> None:
    async with rig() as r:
        r.device("pstat").script = lambda technique: ramp(20, 10)
        await r.run(technique="galvanostatic", current_a="10 pA", duration_s="30 s")
        latest = await r.listener.json(r.daemon.topics.latest("pstat"))
    live = list(targets("grafana-mqtt-datasource"))
    assert live
    for panel, target in live:
        assert filled_in(target["topic"]) == Topics.of("lab").latest("pstat")
        (transformation,) = panel["transformations"]
        time, name = transformation["options"]["include"]["names"]
        assert time == "Time"
        assert isinstance(latest[name], float)


@asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[str]:
    """With the example's configuration, but for where the daemon is and how often it is asked."""
    port = free_port()
    for file in (EXAMPLES / "prometheus").iterdir():
        shutil.copy(file, folder)
    config = folder / "prometheus.yml"
    text = config.read_text().replace("localhost:9464", f"127.0.0.1:{target}")
    config.write_text(re.sub(r"_interval: 5s", "_interval: 250ms", text))
    program = str(PROMETHEUS) if PROMETHEUS.is_file() else "prometheus"
    process = await asyncio.create_subprocess_exec(
        *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=error"),
        f"--web.listen-address=127.0.0.1:{port}",
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def ask(url: str, path: str, **parameters: str) -> Any:
    """`data` of the answer; None while it does not listen yet."""

    def fetch() -> Any:
        try:
            with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except ConnectionError:
            return None
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError(error.read().decode()) from None
        except urllib.error.URLError:
            return None

    return await asyncio.to_thread(fetch)


async def series(url: str, query: str) -> list[Any]:
    """What a query finds; waits until it finds something."""
    async with asyncio.timeout(PATIENCE_S):
        while not (data := await ask(url, "/api/v1/query", query=query)) or not data["result"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return list(data["result"])


@pytest.mark.prometheus
async def test_every_query_finds_something(rig: RigMaker, tmp_path: Path) -> None:
    port = free_port()
    async with rig(metrics=MetricsConfig(port=port)) as r, prometheus(tmp_path, port) as url:
        r.device("pstat").script = lambda technique: ramp(20, 10)
        await r.run(technique="galvanostatic", current_a="10 pA", duration_s="30 s")
        for panel, target in targets("prometheus"):
            found = await series(url, filled_in(target["expr"]))
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert all(label in one["metric"] for one in found), panel["title"]
        (devices,) = [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["name"] == "device"]
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", filled_in(devices))
        assert asked is not None
        assert {one["metric"][asked[2]] for one in await series(url, asked[1])} == {"pstat"}
        rules = yaml.safe_load((EXAMPLES / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
        for rule in rules:
            await series(url, re.sub(r" (==|>) \d+$", "", rule["expr"]))
        await r.request("emergency_stop")
        await series(url, 'ALERTS{alertname="PicobridgeFault", alertstate="firing", bridge="lab"}')
