"""Rows 6, 9, 11 and 61 on a real kernel: the daemon as a process that is killed, or to which the kernel says no."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridge.store.errors import StoreError
from bridge.transfer.spool import SpoolFailed
from drivers.errors import RunFailed

from .archive import acknowledged, archived, fault_told, latched, on_disk
from .conftest import RigMaker
from .processes import SECONDS, daemon_process, write_config
from .test_spool_files import BACKLOG, backlog

pytestmark = pytest.mark.timeout(60)

#: Without them the tests that need them are not there.
STRACE = [path for path in [shutil.which("strace")] if path]
SETPRIV = [path for path in [shutil.which("setpriv")] if path and os.geteuid() == 0]
MOUNT = [path for path in [shutil.which("mount")] if path and os.geteuid() == 0 and shutil.which("unshare")]
QUICK = {**SECONDS, "interval_s": "0.02 s", "duration_s": "60 s"}


async def ended(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_06_what_a_killed_daemon_had_on_disk_is_delivered(path: RigMaker, tmp_path: Path) -> None:
    """6. The daemon is killed in a run. A recorder that comes after the restart gets every sample that was on disk,
    which is all that anybody was told to be; the user finds the run interrupted and a fault for its device."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        async with daemon_process(config, rig) as process:
            run = await rig.measuring(samples=30, **SECONDS)
            process.kill()
            await process.wait()
        (killed,) = rig.recorder.streams
        heard = dict(rig.recorder.streams.pop(killed).rows)
        told = max(state.get("durable", 0) for state in rig.recorder.told["devices/pstat/state"])
        async with daemon_process(config, rig) as process:
            await rig.recorder.now(f"runs/{run.id}/state", lambda s: s["status"] == "interrupted")
            await rig.connection("pstat", "connected")
            (fault,) = await rig.read("pstat")
            assert (fault["kind"], bool(fault["hint"])) == ("interrupted", True)
            assert rig.witness.unsafe() == [], "connecting has switched it off, and nothing was resumed"
            blocks = await archived(rig)
            rows = rig.recorder.streams[killed].rows
            assert len(rows) >= told > 0
            assert all(repr(heard[index]) == repr(row) for index, row in rows.items() if index in heard)
            assert len(heard) - len(rows) < 10, "what came in the last moment before it was killed"
            assert (blocks.missing, blocks.replayed) == (0, len(rows))
            await ended(process)
        rig.recorder.streams[killed].rows |= heard
        rig.recorder.streams[killed].indices = sorted(rig.recorder.streams[killed].rows)
        await rig.check(killed=[killed], quiet="the run's state says interrupted, and a latched fault")


@pytest.mark.parametrize("mount", MOUNT)
async def test_09_the_disk_of_everything_is_full(path: RigMaker, tmp_path: Path, mount: str) -> None:
    """9. The disk of everything, samples, records, audit and state (a real one of 256 MB), is filled by something else
    in a run. The run ends with the source off and says why. When there is room again, the fault is stored and can be
    acknowledged, all samples are on disk, and runs begin again."""
    state = tmp_path / "state"
    state.mkdir()
    script = f'{mount} -t tmpfs -o size=256m none {state} && exec "$@"'
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        config.write_text(config.read_text().replace("[bridge]", "[bridge]\nmin_free_mb = 1"))
        before = ("unshare", "--mount", "sh", "-c", script, "sh")
        async with daemon_process(config, rig, before=before) as process:
            run = await rig.measuring(samples=10, **QUICK)
            ballast = Path(f"/proc/{process.pid}/root{state}/ballast")
            fill(ballast)
            result = await rig.ended(run)
            rig.told(result["error"], RunFailed)
            assert rig.witness.unsafe() == []
            rig.told(await rig.refused(rig.start(**QUICK)), StoreError, "")
            fault = await latched(rig, "spool_exhausted")
            assert (fault["cause_gone"], fault["id"]) == (False, None), "it is in force though it cannot be stored"
            os.unlink(ballast)
            await acknowledged(rig, "spool_exhausted")
            assert (await rig.lab.faults())["open"] == []
            await on_disk(rig)
            await rig.measured(**{**QUICK, "duration_s": "0.5 s"})
            blocks = await archived(rig)
            assert blocks.missing == 0
            await ended(process)
        await rig.check()


def fill(ballast: Path) -> None:
    """Until the disk takes no more."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    assert os.statvfs(ballast).f_bavail == 0


@asynccontextmanager
async def traced(strace: str, process: asyncio.subprocess.Process, *arguments: str) -> AsyncIterator[None]:
    """strace stands between the daemon and the kernel meanwhile."""
    tracing = await asyncio.create_subprocess_exec(
        *(strace, "-f", "-o", os.devnull, *arguments, "-p", str(process.pid)), stderr=asyncio.subprocess.PIPE
    )
    assert tracing.stderr is not None
    try:
        said = (await asyncio.wait_for(tracing.stderr.readline(), 10)).decode()
        assert "attached" in said, said
        yield
    finally:
        if tracing.returncode is None:
            tracing.send_signal(signal.SIGINT)
        await tracing.communicate()


@pytest.mark.parametrize("strace", STRACE)
async def test_11_a_sync_that_the_kernel_refuses(path: RigMaker, tmp_path: Path, strace: str) -> None:
    """11. The kernel refuses to sync the file of samples (EIO). The run goes on in another file, nothing is lost, and
    the user sees a fault to be acknowledged."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        async with daemon_process(write_config(tmp_path, rig), rig) as process:
            run = await rig.measuring(samples=10, **QUICK)
            inject = ("-e", "trace=fdatasync", "-P", str(tmp_path / "state" / "spool" / f"{1:012}.seg"))
            async with traced(strace, process, *inject, "-e", "inject=fdatasync:error=EIO:when=1"):
                fault = await fault_told(rig, "disk_sync")
            assert "(EIO)" in fault["text"]
            await acknowledged(rig, "disk_sync")
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
            await run.abort()
            await on_disk(rig)
            blocks = await archived(rig)
            assert (blocks.missing, blocks.replayed) == (0, blocks.received)
            await ended(process)
        await rig.check()


async def test_61_out_of_descriptors(path: RigMaker, tmp_path: Path) -> None:
    """61. The daemon may open no more files in the middle of a run. Who asks for samples of the past is told why there
    are none now; when a new file of samples is due, the fault `disk` says so, and samples wait in memory. The run goes
    on; when descriptors are there again, everything is on disk."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        config.write_text(config.read_text() + "\n[spool]\nmax_gb = 0.0002\n")  # a file has 50 kB
        async with daemon_process(config, rig) as process:
            run = await rig.measuring(samples=10, **QUICK)
            (stream,) = rig.recorder.streams
            before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            used = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
            free = next(number for number in range(len(used) + 1) if number not in used)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (free, before[1]))
            asked = {"stream": stream, "first_index": 0, "next_index": 5}
            error = await rig.refused(rig.lab.request("replay", asked))
            rig.told(error, SpoolFailed, "")
            assert "(EMFILE)" in error.message
            fault = await fault_told(rig, "disk", gone=False)
            assert "(EMFILE)" in fault["text"]
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
            assert rig.witness.is_on("pstat"), "the run goes on"
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
            await acknowledged(rig, "disk")
            assert (await rig.lab.request("replay", asked))["missing"] == []
            await run.abort()
            await on_disk(rig)
            await ended(process)
        await rig.check()


def size_of(pid: int) -> int:
    """The address space of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


async def test_61_no_more_memory(path: RigMaker, tmp_path: Path) -> None:
    """61. The daemon may take no more memory than it has, in the middle of a run. The run goes on; who asks for many
    samples of the past gets them, since no more than a piece of them is in memory at a time."""
    count = backlog(tmp_path / "state" / "spool", 10)
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        async with daemon_process(write_config(tmp_path, rig), rig) as process:
            run = await rig.measuring(samples=10, **QUICK)
            before = resource.prlimit(process.pid, resource.RLIMIT_AS)
            resource.prlimit(process.pid, resource.RLIMIT_AS, (size_of(process.pid), before[1]))
            asked = {"stream": BACKLOG, "first_index": 0, "next_index": count}
            answer = await rig.lab.request("replay", asked)
            assert (answer["next_index"], answer["missing"]) == (count, [])
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 50)
            await run.abort()
            await on_disk(rig)
            assert (await rig.lab.faults())["open"] == []
            await ended(process)
        await rig.check(quiet="it needs no more than it has")


def tasks_of(user: int) -> int:
    """How many threads the processes of a user have: what RLIMIT_NPROC is about."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count


async def limit_tasks(setpriv: str, user: int, process: int, count: int) -> None:
    """Only the user itself may do that, without a right that root need not have in a container."""
    command = (setpriv, "--reuid", str(user), "--clear-groups", "prlimit", "--pid", str(process), f"--nproc={count}:")
    limiting = await asyncio.create_subprocess_exec(*command)
    assert await limiting.wait() == 0


@pytest.mark.parametrize("setpriv", SETPRIV)
async def test_61_no_more_threads(path: RigMaker, tmp_path: Path, setpriv: str) -> None:
    """61. The daemon, a user of its own that may open what root may, can start no more threads in the middle of a run,
    which goes on. Another run is refused: it could not be recorded. When threads are to be had again, it begins."""
    user = 1_000_000 + os.getpid()  # a limit of processes binds neither root nor one user alone
    rights = [f"--{kind}=-all,+dac_override" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    before = (setpriv, "--reuid", str(user), "--clear-groups", *rights)
    async with path("pstat", "emstat", speed=50.0, with_daemon=False) as rig:
        async with daemon_process(write_config(tmp_path, rig), rig, before=before) as process:
            await rig.connection("emstat", "connected")
            run = await rig.measuring(samples=10, **QUICK)
            await limit_tasks(setpriv, user, process.pid, tasks_of(user))
            error = await rig.refused(rig.start("emstat", **QUICK))
            rig.told(error, RunFailed, "")
            assert "can't start new thread" in error.message
            assert not rig.witness.is_on("emstat")
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 50)
            await limit_tasks(setpriv, user, process.pid, 1000)
            await rig.measured("emstat", **{**QUICK, "duration_s": "0.5 s"})
            await run.abort()
            await on_disk(rig)
            assert (await rig.lab.faults())["open"] == []
            await ended(process)
        await rig.check()
