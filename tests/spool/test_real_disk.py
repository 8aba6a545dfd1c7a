"""Real processes on a real kernel: killed in the middle, a disk that is full, a sync that the kernel refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.transfer.spool import OsFiles, Spool, SpoolOptions

from .blocks import everything, indices, opened
from .writer_process import STREAM

ROOT = Path(__file__).parents[2]
#: Without them the tests that need them are not there.
STRACE = [path for path in [shutil.which("strace")] if path]
MOUNT = [path for path in [shutil.which("mount")] if path and os.geteuid() == 0 and shutil.which("unshare")]


@contextmanager
def writer(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [*before, sys.executable, "-m", "tests.spool.writer_process", str(folder), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def announced(process: subprocess.Popen[str]) -> Iterator[str]:
    """Lines as they come: numbers are what is durable, texts are faults."""
    assert process.stdout is not None
    for line in iter(process.stdout.readline, ""):
        yield line.strip()
    pytest.fail(f"it has ended: {process.stderr.read() if process.stderr else ''}")


def durable(process: subprocess.Popen[str], lines: int, faults: list[str]) -> int:
    """The last of so many announcements; what goes wrong meanwhile is added to `faults`."""
    lines_left, told = lines, 0
    for line in announced(process):
        if line.isdigit():
            lines_left, told = lines_left - 1, int(line)
        else:
            faults.append(line)
        if not lines_left:
            break
    return told


def closed(process: subprocess.Popen[str]) -> list[str]:
    """End it in good order; returns its last faults."""
    output, errors = process.communicate("\n")
    assert process.returncode == 0, errors
    word, reached, _, written = output.splitlines()[-1].split()
    assert (word, reached) == ("closed", written)
    return [line for line in output.splitlines()[:-1] if not line.isdigit()]


def test_killed_again_and_again_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    for lines in (1, 30, 100, 7, 60):
        with writer(tmp_path) as process:
            faults: list[str] = []
            acknowledged = durable(process, lines, faults)
            assert faults == []
            os.kill(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            rest = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            acknowledged = int(rest[-1]) if rest else acknowledged
        log = opened(OsFiles(), tmp_path)
        assert log.recovery.damage == []
        read = indices(everything(log, STREAM))
        assert read == list(range(len(read)))
        assert len(read) >= acknowledged
        assert log.ranges()[STREAM].missing == ()
        log.close()


def test_a_limit_on_the_length_of_files_is_lived_with(tmp_path: Path) -> None:
    """The kernel refuses every write beyond 80 kB of a file (EFBIG): segments end there, nothing is lost."""
    faults: list[str] = []
    with writer(tmp_path, "80000") as process:
        reached = durable(process, 60, faults)
        faults += closed(process)
    assert any("EFBIG" in line for line in faults)
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 80_000
    log = opened(OsFiles(), tmp_path)
    read = indices(everything(log, STREAM))
    assert read == list(range(len(read)))
    assert len(read) >= reached


@pytest.mark.parametrize("strace", STRACE)
def test_a_sync_that_the_kernel_refuses(tmp_path: Path, strace: str) -> None:
    inject = ("-f", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=7")
    faults: list[str] = []
    with writer(tmp_path / "spool", before=(strace, *inject)) as process:
        reached = durable(process, 12, faults)
        faults += closed(process)
    assert [(line.split()[0], "EIO" in line) for line in faults] == [("disk_sync", True)]
    log = opened(OsFiles(), tmp_path / "spool")
    read = indices(everything(log, STREAM))
    assert read == list(range(len(read)))
    assert len(read) >= reached


@pytest.mark.parametrize("mount", MOUNT)
def test_a_disk_that_is_full_and_has_room_again(tmp_path: Path, mount: str) -> None:
    """A disk of 256 kB in a mount namespace of its own: the spool fills it, waits, and goes on when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    ballast = disk / "ballast"
    script = f'{mount} -t tmpfs -o size=256k none {disk} && head -c 100000 /dev/zero > {ballast} && exec "$@"'
    with writer(disk / "spool", before=("unshare", "--mount", "sh", "-c", script, "sh")) as process:
        full_at, again = 0, 0
        for line in announced(process):
            if line.isdigit():
                full_at = int(line)
            elif line.startswith("disk ") and "ENOSPC" in line:
                break
        # the same file, as the process sees it
        Path(f"/proc/{process.pid}/root{ballast}").unlink()
        for line in announced(process):
            again = int(line) if line.isdigit() else again
            if again > full_at:
                break
        assert full_at > 0
        copy = tmp_path / "copy"
        shutil.copytree(f"/proc/{process.pid}/root{disk}/spool", copy)
    log = opened(OsFiles(), copy)
    read = indices(everything(log, STREAM))
    assert read == list(range(len(read)))
    assert len(read) >= again
    log.close()


async def test_the_real_files_do_what_the_double_does(tmp_path: Path) -> None:
    files = OsFiles()
    files.make_folder(tmp_path / "a" / "b")
    path = tmp_path / "a" / "b" / "file"
    fd = files.create(path)
    with pytest.raises(FileExistsError):
        files.create(path)
    files.allocate(fd, 1000)
    assert files.write(fd, b"12345", 998) == 5
    assert files.size(fd) == 1003
    assert files.read(fd, 100, 997) == b"\x0012345"
    files.truncate(fd, 999)
    files.fsync(fd)
    files.close(fd)
    files.rename(path, path.with_name("other"))
    files.sync_folder(path.parent)
    assert list(files.names(path.parent)) == ["other"]
    files.unlink(path.with_name("other"))
    assert files.free(tmp_path) > 0
    spool = Spool.open(tmp_path / "spool", SpoolOptions())
    assert spool.free_bytes() > 0
    assert spool.recovery.text.startswith("0 records in 0 segments")
