"""Fixtures of the catalogue of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon import connection, device_topics
from tests.bridge.conftest import Mosquitto

from .rig import Rig, whole_path

RigMaker = Callable[..., AbstractAsyncContextManager[Rig]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them go through the real broker."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and "mosquitto" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mosquitto)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def path(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, without_debug: None) -> RigMaker:
    """`async with path("pstat", "stage") as rig:` with a supervision that is quick."""
    monkeypatch.setattr(connection, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(connection, "POLL_S", 0.05)
    monkeypatch.setattr(connection, "POTENTIOSTAT_POLL_S", 0.05)
    monkeypatch.setattr(device_topics, "COUNTERS_S", 0.02)

    def make(*devices: str, **options: Any) -> AbstractAsyncContextManager[Rig]:
        return whole_path(tmp_path, devices, **{"mosquitto": mosquitto, **options})

    return make
