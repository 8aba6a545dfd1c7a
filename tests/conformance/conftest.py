"""Which tests are run against which instruments.

A test says with the marker `conformance` which interface it is about (none: every one), what it moves or energises
(`does`), and whether it needs what only a simulated instrument has (`hooks`). It takes `rig`, `bench` (not connected)
or `device` (connected), or `rigs` (several that have hooks, side by side), and tells what it has observed with `note`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .mock_rig import mock_rigs
from .rig import RIGS, Bench, Rig

HERE = Path(__file__).parent
#: (instrument, test, reason), for `make hil` to say
LEFT_OUT = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "conformance(interface='', does='nothing', hooks=False): which instruments a test is for"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rigs: Sequence[Rig] = metafunc.config.stash.get(RIGS, ()) or mock_rigs()
    if "rigs" in metafunc.fixturenames:
        # two groups, since two workers may share them
        groups = {
            "sources": [rig for rig in rigs if rig.hooked and rig.interface == "potentiostat"],
            "others": [rig for rig in rigs if rig.hooked and rig.interface != "potentiostat"],
        }
        chosen_groups = {name: group for name, group in groups.items() if group}
        metafunc.parametrize("rigs", list(chosen_groups.values()), ids=list(chosen_groups))
    if "rig" not in metafunc.fixturenames:
        return
    chosen = [rig for rig in rigs if _is_for(metafunc, rig)]
    metafunc.parametrize("rig", chosen, ids=[rig.name for rig in chosen], scope="function")


def _is_for(metafunc: pytest.Metafunc, rig: Rig) -> bool:
    marker = metafunc.definition.get_closest_marker("conformance")
    wanted: dict[str, Any] = {"interface": "", "does": "nothing", "hooks": False, **(marker.kwargs if marker else {})}
    interfaces = wanted["interface"].split()
    if interfaces and rig.interface not in interfaces:
        return False
    if wanted["hooks"] and not rig.hooked:
        return False
    if not rig.limits.allow(wanted["does"]):
        left_out = metafunc.config.stash.setdefault(LEFT_OUT, [])
        left_out.append((rig.name, metafunc.definition.originalname, f"no limits for {wanted['does']} are given"))
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop what has no instrument here, which pytest would call skipped; go through one instrument after the other."""
    rigs: dict[str, int] = {}
    order: dict[pytest.Item, int] = {}
    for item in items:
        # the hook sees the whole session's tests, and others too call a fixture `rig`
        if not item.path.is_relative_to(HERE) or not {"rig", "rigs"} & {*getattr(item, "fixturenames", ())}:
            order[item] = -1
            continue
        if "rigs" in item.fixturenames:  # type: ignore[attr-defined]
            if isinstance(item.callspec.params["rigs"], list):  # type: ignore[attr-defined]
                order[item] = -1
            continue
        rig = item.callspec.params["rig"]  # type: ignore[attr-defined]
        if hasattr(rig, "session"):
            order[item] = rigs.setdefault(rig.name, len(rigs))
    items[:] = sorted(order, key=lambda item: order[item])


@pytest.fixture
async def bench(rig: Rig) -> AsyncIterator[Bench]:
    """An instrument and a device that is not connected yet. A simulated one must be safe in the end."""
    async with rig.session() as found:
        yield found
        if found.hooks is not None:
            assert found.hooks.is_safe(), "the test left something moving or energised"


@pytest.fixture
async def device(bench: Bench) -> AsyncIterator[Any]:
    """The device, connected; closed in the end, which makes it safe."""
    await bench.device.connect()
    yield bench.device
    bench.clock.release()
    if not bench.device.transport.is_open:
        await bench.device.connect()
    await bench.device.close()


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Tell a fact that was observed: `make hil` compares it with the mock's."""
    return lambda name, value: record_property(f"fact:{name}", value)
