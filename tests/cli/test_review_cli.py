"""What the commands leave behind and say when something is wrong with where they write."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.record.raw import RawWriter
from drivers.errors import BridgeUnreachable, RunFailed
from tests.bridge.conftest import free_port
from tests.client.conftest import BenchMaker

from .test_direct import run


async def test_record_without_a_bridge_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BridgeUnreachable):
        await run("record", "--folder", str(tmp_path), "--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert not any(await asyncio.to_thread(lambda: list(tmp_path.iterdir())))


async def test_record_ends_when_it_cannot_write_any_more(
    bench: BenchMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RawWriter, blocks: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RawWriter, "write", full)
    async with bench("pstat") as b:
        recording = asyncio.ensure_future(run("record", "--folder", str(tmp_path), "--broker", b.url))
        async with asyncio.timeout(20):
            while not recording.done():
                await b.lab.pstat.galvanostatic(1e-11, 0.5)
        with pytest.raises(RunFailed, match="No space left"):
            await recording


def test_a_folder_that_cannot_be_made_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_folder(args: Any) -> int:
        (tmp_path / "file").write_text("")
        (tmp_path / "file" / "below").mkdir()
        return 0

    monkeypatch.setattr("bridge.cli.inventory.run_drivers", no_folder)
    assert main(["drivers"]) == 1
    assert "Not a directory" in capsys.readouterr().err
