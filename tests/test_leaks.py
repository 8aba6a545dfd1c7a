"""The leak check itself: each kind of thing left behind makes a test fail, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LEAKY = """
import asyncio, os, subprocess, tempfile, threading, pytest

kept = []

async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(60)))

def test_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, args=(30,), daemon=True).start()

def test_descriptor():
    kept.append(os.pipe())

def test_child():
    kept.append(subprocess.Popen(["sleep", "30"]))

def test_file():
    kept.append(tempfile.mkdtemp())

async def test_executor_and_loop_are_not_leaks():
    await asyncio.to_thread(os.getpid)

@pytest.fixture(scope="module")
def shared():
    reading, writing = os.pipe()
    yield
    os.close(reading)
    os.close(writing)

def test_what_a_wider_fixture_opens_may_stay(shared):
    pass

def test_ending_threads_are_waited_for():
    threading.Thread(target=threading.Event().wait, args=(0.05,)).start()

def test_end():
    kept[1].set()
    for process in [k for k in kept if isinstance(k, subprocess.Popen)]:
        process.kill()
        process.wait()
"""


def test_each_leak_fails_its_test_and_only_that(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.makeconftest("from tests.conftest import *  # noqa: F403\nfrom tests import leaks\nleaks._GRACE_S = 0.3\n")
    pytester.makepyfile(LEAKY)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto")
    result.assert_outcomes(passed=9, errors=5)
    for words in (
        "ERROR*test_task*",
        "  task <Task pending*",
        "ERROR*test_thread*",
        "  thread <Thread*",
        "ERROR*test_descriptor*",
        "  descriptor * -> pipe:*",
        "ERROR*test_child*",
        "  child process * (sleep 30)",
        "ERROR*test_file*",
        "  temporary file tmp*",
    ):
        result.stdout.fnmatch_lines([words])
