"""The files of a run's record over HTTP: those, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.web.run_files import _find

from .conftest import SiteMaker

RUN = "20261124-064133-1"
GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


async def test_a_runs_manifest_and_samples_are_there_to_be_read(site: SiteMaker, tmp_path: Path) -> None:
    async with site(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as s:
        run = await s.rig.run(**GALVANOSTATIC)
        await s.rig.result(run)
        async with s.get(f"/runs/{run}/manifest.json") as answer:
            manifest = await answer.json()
            assert manifest["run"] == run
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("sandbox;")
            assert "script" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        (folder,) = (tmp_path / "runs").iterdir()
        async with s.get(f"/runs/{run}/pstat.cborseq") as answer:
            assert answer.headers["Content-Disposition"] == "attachment"
            assert await answer.read() == (folder / "pstat.cborseq").read_bytes()
        async with s.get(f"/runs/{run}/pstat.cborseq", headers={"Range": "bytes=2-5"}) as answer:
            assert (answer.status, len(await answer.read())) == (206, 4)
        for path in (
            f"/runs/{run}/",
            f"/runs/{run}/nothing.json",
            f"/runs/{run}/..%2f..%2fstate/state.db",
            "/runs/x/y",
        ):
            async with s.get(path) as answer:
                assert answer.status == 404


async def test_where_nothing_is_recorded_there_is_nothing(site: SiteMaker) -> None:
    async with site(devices=()) as s, s.get(f"/runs/{RUN}/manifest.json") as answer:
        assert answer.status == 404


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / f"{RUN}_noise-test"
    (folder / "plots").mkdir(parents=True)
    for path in (folder / "report.html", folder / "plots" / "1.png", folder / ".hidden", tmp_path / "state.db"):
        path.write_text("x")
    (folder / "out.html").symlink_to(tmp_path / "state.db")
    (folder / "up").symlink_to(tmp_path)
    (folder / "same.html").symlink_to("report.html")
    (tmp_path / "runs" / "elsewhere_x").symlink_to(tmp_path)
    return tmp_path / "runs"


@pytest.mark.parametrize("name", ["report.html", "plots/1.png", "same.html"])
def test_what_is_in_the_folder_is_found(records: Path, name: str) -> None:
    assert _find(records, RUN, name) is not None


@pytest.mark.parametrize(
    ("run", "name"),
    [
        *((RUN, name) for name in ("../state.db", "out.html", "up/state.db", ".hidden", "plots", "", "/etc/passwd")),
        *(
            (RUN, name)
            for name in ("plots/../report.html", "report.html\0", "plots//1.png", "a/b/c/d/e", "report.html/")
        ),
        *(
            (run, "report.html")
            for run in ("..", ".", "20261124-064133", "", "*", f"{RUN}/..", "20261124-064133-1_noise")
        ),
        ("elsewhere", "state.db"),
    ],
)
def test_nothing_else_is(records: Path, run: str, name: str) -> None:
    assert _find(records, run, name) is None
