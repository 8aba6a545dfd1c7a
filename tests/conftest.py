"""For every test: nothing left behind, the same chance each time."""

from __future__ import annotations

import asyncio
import asyncio.constants
import os
import random
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import usb.backend.libusb1

from .leaks import Watch, watch_loops

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

#: Where `tools/have-prometheus` unpacks it.
PROMETHEUS = Path(__file__).parents[1] / "build" / "prometheus" / "usr" / "bin" / "prometheus"

#: Where `tools/have-readers` makes the environments of other programs that read a record.
READERS = Path(__file__).parents[1] / "build" / "readers"

_watch = Watch()
_LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    # temporary files go to a folder of this session, so that other programs' do not look like a test's; pytest's own
    # (tmp_path) stay where they always are, for looking at after a failure
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="picobridge-tests-")
    usual, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = folder
    os.environ["TMPDIR"] = folder
    # libusb keeps some descriptors for as long as the process lives: have them now
    usb.backend.libusb1.get_backend()
    # one frame says where a task was made; ten for each task and each call soon were a third of all the time
    asyncio.constants.DEBUG_STACK_DEPTH = 1
    undo = watch_loops(_watch)
    if config.pluginmanager.has_plugin("xdist"):
        config.pluginmanager.register(AcrossWorkers())

    def clean_up() -> None:
        undo()
        tempfile.tempdir = usual
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(clean_up)


def _missing() -> dict[str, str]:
    """Markers whose tests cannot run here, and how to have them."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    missing = {}
    if not (shutil.which("mosquitto", path=search) and shutil.which("mosquitto_sub", path=search)):
        missing["mosquitto"] = "install mosquitto and mosquitto-clients"
    if not (shutil.which("node") and (Path(__file__).parent / "node" / "node_modules" / "mqtt").is_dir()):
        missing["node"] = "install Node.js and npm, then tools/have-node"
    if not shutil.which("chromium", path=search):
        missing["browser"] = "install chromium"
    if not all(shutil.which(program, path=search) for program in ("systemd-analyze", "systemd-sysusers")):
        missing["systemd"] = "install systemd"
    if not (shutil.which("node") and (Path(__file__).parent / "node-red" / "node_modules" / "node-red").is_dir()):
        missing["node_red"] = "install Node.js and npm, then tools/have-node-red"
    if not (PROMETHEUS.is_file() or shutil.which("prometheus", path=search)):
        missing["prometheus"] = "tools/have-prometheus, or install prometheus"
    if not all(shutil.which(program, path=search) for program in ("zsh", "fish", "man", "mandoc")):
        missing["shells"] = "install zsh, fish, man-db and mandoc"
    if not all(any((READERS / name).glob(".ready-*")) for name in ("cellpy", "pyprobe")):
        missing["readers"] = "tools/have-readers"
    if not all(shutil.which(program, path=search) for program in ("umockdev-run", "udevadm", "unshare")):
        missing["umockdev"] = "install umockdev, gir1.2-umockdev-1.0, python3-gi and udev"
    return missing


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and say so, what needs a program that is not here. In CI nothing may be left out."""
    for marker, remedy in _missing().items():
        left_out = [item for item in items if item.get_closest_marker(marker)]
        if not left_out:
            continue
        if _in_ci():
            raise pytest.UsageError(f"{len(left_out)} tests need {marker}, and in CI none may be left out: {remedy}")
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        config.stash.setdefault(_LEFT_OUT, set()).add(f"{len(left_out)} tests need {marker}: {remedy}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: half of what the tests do is wait for deadlines that are real."""
    return len(os.sched_getaffinity(0)) + 1


class AcrossWorkers:
    """Under pytest-xdist each worker process collects for itself, and only the first process has a terminal."""

    def pytest_configure_node(self, node: Any) -> None:
        """Before a worker is started: in CI it would only crash on what is missing."""
        if _in_ci() and (missing := _missing()):
            raise pytest.UsageError(f"in CI no test may be left out: {'; '.join(missing.values())}")

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        left_out = getattr(node, "workeroutput", {}).get("left_out", ())
        node.config.stash.setdefault(_LEFT_OUT, set()).update(left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = sorted(session.config.stash.get(_LEFT_OUT, ()))


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in sorted(config.stash.get(_LEFT_OUT, ())):
        terminalreporter.write_line(f"left out: {line}", yellow=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    _watch.begin()
    random.seed(0)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    if fixturedef.scope == "function":
        return (yield)
    with _watch.allow():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    yield
    left = _watch.end()
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
async def without_debug() -> None:
    """For whole paths, from the wire over a daemon to a client: asyncio's debug mode makes them three times as long.
    The tests of each part (drivers, transports, the daemon's own) have it on."""
    asyncio.get_running_loop().set_debug(False)
