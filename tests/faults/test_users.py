"""Rows 48, 49, 51 and 62: somebody who may not, somebody's else client id, a flood, and certificates that are no good
any more."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from drivers.errors import BridgeUnreachable, FaultLatched, Refused
from tests.access.site import expired_pair
from tests.bridge.conftest import eventually

from .audit import audited
from .conftest import RigMaker
from .rig import LONG, PREFIX, Rig
from .test_requests import envelope
from .users import Shared, own_files, with_users

pytestmark = pytest.mark.timeout(60)

RUN = {"procedure": "technique", "parameters": LONG, "devices": {"potentiostat": "pstat"}}


def request_of(user: str, **fields: object) -> bytes:
    whole = {**envelope(), "from": user, "reply_to": f"{PREFIX}/reply/{user}/test", **fields}
    return json.dumps(whole).encode()


async def test_48_somebody_who_may_not(path: RigMaker, tmp_path: Path) -> None:
    """48. An observer asks for a run; somebody asks in the operator's name, or names herself an administrator. The
    daemon refuses the first, the broker the second, and the third is no field of a request; nothing is energised, and
    the audit has who asked."""
    async with with_users(path, tmp_path, "pstat") as shared:
        rig, site = shared.rig, shared.site
        await rig.measured()
        energised = rig.witness.energised["pstat"]
        async with site.lab("eve") as eve:
            error = await rig.refused(eve.request("run", RUN))
            rig.told(error, Refused, "")
            assert error.message == "eve is an observer; run needs an operator; it was not executed"
        for topic in ("request/alice/run", "request/run", "request/daemon/run"):
            said = await site.pub("eve", f"{PREFIX}/{topic}", "-m", request_of("alice").decode())
            assert "Not authorized" in said
        refused = rig.daemon._requests.refused
        for forged in (request_of("alice"), request_of("eve", role="administrator"), request_of("root")):
            assert await site.pub("eve", f"{PREFIX}/request/eve/run", "-m", forged.decode()) == ""
        await eventually(lambda: rig.daemon._requests.refused == refused + 3)
        await eventually(lambda: len(audited(rig, "request refused")) == 4)
        assert {one["user"] for one in audited(rig, "request refused")} == {"eve"}
        assert rig.witness.energised["pstat"] == energised
        assert len(await rig.lab.runs()) == 1
        assert (await rig.lab.stop())["devices"] == {"pstat": "safe"}
        await rig.check()


async def test_49_somebody_takes_the_daemons_client_id(path: RigMaker, tmp_path: Path) -> None:
    """49. A user connects with the client id of the daemon, which nobody is told, in the middle of a run. The broker
    throws the daemon off for a moment; the run goes on, no sample is missing, and the daemon is back by itself."""
    async with with_users(path, tmp_path, "pstat") as shared:
        rig, site = shared.rig, shared.site
        run = await rig.measuring()
        session = rig.daemon.uplink._session
        assert session is not None
        identifier = session._identifier  # type: ignore[attr-defined]
        told = [json.dumps(message) for messages in rig.recorder.told.values() for message in messages]
        assert not [message for message in told if identifier in message]
        async with site.connected("eve", identifier=identifier) as thief:
            await eventually(lambda: rig.daemon.uplink._session not in (None, session))
            await asyncio.wait([thief._disconnected], timeout=10)
            assert thief._disconnected.exception() is not None, "the daemon has thrown the thief off in turn"
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        assert not run.ended
        await run.abort()
        await rig.check(quiet="the daemon stays")


async def test_51_ten_thousand_requests_and_a_stop(path: RigMaker, tmp_path: Path) -> None:
    """51. A user floods the daemon with ten thousand requests, with the source on; somebody presses the emergency stop
    behind them. The source is off while most of the flood was refused unread; the flooder is told so a few times, and
    the events are no flood."""
    async with with_users(path, tmp_path, "pstat") as shared:
        rig, site = shared.rig, shared.site
        run = await rig.measuring()
        pings = [request_of("bob", id=f"f{number}", params={}) for number in range(10_000)]
        await site.flood("bob", f"{PREFIX}/request/bob/ping", pings)
        async with site.lab("eve", ask_devices=False) as eve:  # who may only look, and stop
            stopped = await eve.emergency_stop()
        assert stopped["devices"] == {"pstat": "safe"}
        assert not rig.witness.is_on("pstat")
        assert (await rig.ended(run))["status"] == "aborted"
        rig.told(await rig.refused(rig.start()), FaultLatched, "pstat")
        await eventually(lambda: rig.daemon._requests.refused > 5_000)
        assert len([event for event in rig.recorder.told["events"] if event["kind"] == "request"]) < 100
        await rig.check()


def other_authority(folder: Path) -> None:
    """A certificate in whose name nobody has signed."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other"
    files = ["-keyout", str(folder / "other.key"), "-out", str(folder / "other.pem")]
    subprocess.run([*words.split(), *files], check=True, capture_output=True)


async def expire(shared: Shared) -> None:
    """The daemon's own certificate, renewed too late."""
    folder = shared.site.folder
    old = await asyncio.to_thread(expired_pair, folder, shared.site.files, "daemon")
    for name, file in zip(("cert", "key"), old, strict=True):
        (folder / "own" / name).write_bytes(file.read_bytes())


async def change_authority(shared: Shared) -> None:
    """Whom the daemon trusts has not signed the broker's certificate."""
    folder = shared.site.folder
    await asyncio.to_thread(other_authority, folder)
    (folder / "own" / "ca").write_bytes((folder / "other.pem").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "text"),
    [(expire, "certificate expired"), (change_authority, "certificate verify failed")],
    ids=["expired", "another authority"],
)
async def test_62_certificates_that_are_no_good_any_more(
    path: RigMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object, text: str
) -> None:
    """62. When the broker was restarted in a run, the daemon's certificate has expired, or the broker's is of another
    authority. The log says so by name, and whoever looks finds no daemon; the run goes on and its samples are kept.
    With good files the daemon is back by itself, and no sample is missing."""
    async with with_users(path, tmp_path, "pstat") as shared:
        rig = shared.rig
        run = await rig.measuring()
        await spoil(shared)  # type: ignore[operator]
        rig.recorder.back.clear()
        await asyncio.to_thread(restart, rig)
        await asyncio.wait_for(rig.recorder.back.wait(), 10)
        await eventually(lambda: text in caplog.text)
        with pytest.raises(BridgeUnreachable, match="daemon"):
            async with shared.site.lab("bob", find_s=0.3):
                pytest.fail("nobody is there")
        pump = rig.daemon.devices["pstat"].pump
        assert pump is not None
        taken = pump.next_index
        await eventually(lambda: pump.next_index >= taken + 50)
        assert rig.witness.is_on("pstat"), "the run goes on"
        await eventually(lambda: rig.daemon.devices["pstat"].spool.durable(pump.stream) >= taken)
        own_files(shared.site)
        await rig.arrived("pstat", taken + 60)
        await rig.reached()
        await run.abort()
        await rig.check(quiet="the daemon reaches nobody whom it could tell; its log says it")


def restart(rig: Rig) -> None:
    rig.mosquitto.kill()
    rig.mosquitto.start()
