"""Users on a real Mosquitto with what `broker-config` wrote: what the broker refuses, and what the daemon does."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from bridge.client import connect
from bridge.transfer.aiomqtt_session import connect as open_session
from bridge.transfer.mqtt import BrokerAddress, Message
from bridge.transfer.uplink import Uplink
from drivers.errors import BridgeUnreachable, InvalidValue, Refused
from tests.bridge.conftest import eventually

from .site import FORMER, PREFIX, Rig, Site, daemon_at, envelope, expired_pair, listening

pytestmark = pytest.mark.mosquitto


async def ask(ear: Any, user: str, payload: bytes, method: str = "call") -> Any:
    """The reply to a request of that user's, who is listening."""
    await ear.client.publish(f"{PREFIX}/request/{user}/{method}", payload, qos=1)
    return await ear.reply(f"{PREFIX}/reply/{user}", json.loads(payload)["id"])


async def test_each_role_has_what_it_may_by_our_own_client(rig: Rig) -> None:
    async with rig.site.lab("alice") as alice, rig.site.lab("eve") as eve:
        await alice.stage.move_to(x_m=0.01)
        with pytest.raises(Refused, match="eve is an observer; lease needs an operator; it was not executed"):
            await eve.stage.move_to(x_m=0.02)
        await alice.call("stage", "identify")
        with pytest.raises(Refused, match="eve is an observer; call needs an operator; it was not executed") as caught:
            await eve.call("stage", "identify")
        assert caught.value.detail == {"user": "eve", "role": "observer", "needs": "operator"}
        assert list(eve) == ["stage", "gauge"]
        assert rig.acts == ["stage"]
        assert (await eve.stop())["devices"] == {"stage": "safe", "gauge": "safe"}
        with pytest.raises(Refused, match="override needs an administrator"):
            await alice.request("override")
    async with rig.site.lab("root") as root:
        with pytest.raises(InvalidValue, match="'nothing' is not known"):
            await root.request("nothing")


async def test_an_observers_request_passes_the_broker_and_not_the_daemon(rig: Rig) -> None:
    async with listening(rig.site, "eve") as eve:
        request = envelope("eve")
        assert await rig.site.pub("eve", f"{PREFIX}/request/eve/call", "-m", request.decode()) == ""
        reply = await eve.reply(f"{PREFIX}/reply/eve", json.loads(request)["id"])
        assert reply["error"]["message"].startswith("eve is an observer")
    assert rig.acts == []
    assert rig.daemon._requests.refused == 1


@pytest.mark.parametrize("version", ["5", "311"])
async def test_nobody_asks_in_anothers_name(rig: Rig, version: str) -> None:
    for topic in ("request/bob/call", "request/call", "request/daemon/call", "request/bob/x/call", "request/alice"):
        said = await rig.site.pub("alice", f"{PREFIX}/{topic}", "-m", envelope("bob").decode(), version=version)
        assert ("Not authorized" in said) is (version == "5"), "MQTT 3.1.1 cannot say so"
    async with listening(rig.site, "alice") as alice:
        assert (await ask(alice, "alice", envelope("alice")))["ok"], "what came before has been through the broker"
    assert rig.acts == ["stage"]
    assert rig.daemon._requests.refused == 0


async def test_a_forged_sender_is_refused(rig: Rig) -> None:
    async with listening(rig.site, "alice") as alice:
        reply = await ask(alice, "alice", envelope("alice", sender="bob"))
        assert "from is 'bob', and the request came as alice's" in reply["error"]["message"]
        assert (await ask(alice, "alice", envelope("alice", sender="alice-2")))["ok"]
    assert rig.acts == ["stage"]


async def test_who_is_no_user_any_more_is_refused_by_the_daemon(rig: Rig) -> None:
    async with listening(rig.site, FORMER) as former:
        for method in ("call", "ping"):
            reply = await ask(former, FORMER, envelope(FORMER), method)
            assert reply["error"]["message"].startswith(f"{FORMER} is no user of this bridge")
        assert {topic for topic, _ in former.heard} == {f"{PREFIX}/reply/{FORMER}"}, "and hears nothing else"
    assert rig.acts == []


OF_THE_DAEMON = (
    *("status", "events", "health", "devices/stage/state", "devices/stage/samples", "devices/stage/latest"),
    *("runs/1/state", "runs/1/result", "reply/alice", "reply/bob", "replay/bob"),
)


async def test_only_the_daemon_says_what_is_so(rig: Rig) -> None:
    async with listening(rig.site, "bob") as bob:
        for topic in OF_THE_DAEMON:
            for words in (("-m", "forged"), ("-m", "forged", "-r"), ("-n", "-r")):
                assert "Not authorized" in await rig.site.pub("alice", f"{PREFIX}/{topic}", *words)
        assert (await ask(bob, "bob", envelope("bob"), "devices"))["error"]["error"] == "InvalidValue"
        assert not [topic for topic, payload in bob.heard if payload == b"forged"]
    status = await rig.site.sub("eve", f"{PREFIX}/status", "-C", "1")
    assert json.loads(status)["status"] == "online", "nor was what is retained removed"
    assert "Not authorized" in await rig.site.pub("alice", "elsewhere/topic", "-m", "x")


async def test_a_will_is_held_to_the_same(rig: Rig) -> None:
    """A client that breaks off cannot have the broker say what it may not say itself."""
    will = aiomqtt.Will(f"{PREFIX}/status", b'{"status": "offline"}', 1, True)
    try:
        async with rig.site.connected("alice", will=will) as client:
            sock = client._client.socket()
            assert sock is not None
            sock.shutdown(2)  # type: ignore[attr-defined]
    except aiomqtt.MqttError:
        pass
    async with listening(rig.site, "bob", f"{PREFIX}/#") as bob:
        assert (await ask(bob, "bob", envelope("bob")))["ok"]
        assert [json.loads(status)["status"] for status in bob.on(f"{PREFIX}/status")] == ["online"]


async def test_nobody_hears_what_is_for_another(rig: Rig) -> None:
    async with listening(rig.site, "bob") as bob, listening(rig.site, "alice") as alice:
        await ask(alice, "alice", envelope("alice"))
        await ask(bob, "bob", envelope("bob"))
        topics = {topic for topic, _ in bob.heard}
    assert f"{PREFIX}/status" in topics
    assert f"{PREFIX}/reply/bob" in topics
    assert not [topic for topic in topics if "/request" in topic or "alice" in topic or topic.startswith("$SYS")]


async def test_a_reply_does_not_leave_the_branch_of_who_asked(rig: Rig) -> None:
    async with listening(rig.site, "bob") as bob, listening(rig.site, "alice") as alice:
        for topic in ("reply/bob", "status", "request/bob/stop"):
            payload = envelope("alice", reply_to=f"{PREFIX}/{topic}")
            await alice.client.publish(f"{PREFIX}/request/alice/call", payload, qos=1)
        await bob.until(lambda: len([event for event in bob.on(f"{PREFIX}/events") if b"reply_to is " in event]) == 3)
        assert bob.on(f"{PREFIX}/reply/bob") == []
    assert rig.acts == []


async def test_no_client_id_throws_the_daemon_off(rig: Rig) -> None:
    session = rig.daemon.uplink._session
    assert session is not None
    own = session._identifier  # type: ignore[attr-defined]
    assert re.fullmatch(r"picobridge-lab-[0-9a-f]{32}", own), "nobody guesses it"
    async with listening(rig.site, "eve") as eve:
        for identifier in ("daemon", "picobridge", "picobridge-lab", "localhost"):
            async with rig.site.connected("eve", identifier=identifier):
                pass
        await ask(eve, "eve", envelope("eve"), "ping")
        assert not [payload for _, payload in eve.heard if own.encode() in payload], "nor is it told to anybody"
    assert rig.daemon.uplink._session is session

    # and if it were known all the same, the daemon would be back in a moment
    async with rig.site.connected("eve", identifier=own) as thief:
        await eventually(lambda: rig.daemon.uplink._session not in (None, session))
        await asyncio.wait([thief._disconnected], timeout=10)
        assert isinstance(thief._disconnected.exception(), aiomqtt.MqttError)
        thief._disconnected.exception()
    async with rig.site.lab("alice") as alice:
        await alice.call("stage", "identify")


async def test_two_programs_of_a_user_do_not_throw_each_other_off(rig: Rig) -> None:
    async with rig.site.lab("alice") as one, rig.site.lab("alice") as two:
        for _ in range(3):
            await asyncio.gather(one.call("stage", "identify"), two.request("ping"))
    assert len(rig.acts) == 3


async def test_a_request_that_was_retained_is_not_executed_at_the_next_start(site: Site) -> None:
    for method in ("call", "stop"):
        topic = f"{PREFIX}/request/alice/{method}"
        assert await site.pub("alice", topic, "-r", "-m", envelope("alice").decode()) == ""
    async with daemon_at(site) as rig, site.lab("alice") as alice:
        before = rig.stops
        await alice.request("ping")
        assert rig.acts == []
        assert rig.stops == before


async def test_an_id_acts_once_and_is_answered_twice(rig: Rig) -> None:
    async with listening(rig.site, "alice") as alice:
        request = envelope("alice", id="once")
        for count in (1, 2):
            await alice.client.publish(f"{PREFIX}/request/alice/call", request, qos=1)
            await alice.count(f"{PREFIX}/reply/alice", count)
        assert len(set(alice.on(f"{PREFIX}/reply/alice"))) == 1
        other = await ask(alice, "alice", envelope("alice", "gauge", id="another"))
        assert other["ok"]
        await alice.client.publish(f"{PREFIX}/request/alice/call", envelope("alice", "gauge", id="once"), qos=1)
        await alice.until(lambda: b"which another request had before" in alice.on(f"{PREFIX}/reply/alice")[-1])
    assert rig.acts == ["stage", "gauge"]


HOSTILE = (
    b"",
    b"\xff\xfe\x00",
    b"[1, 2]",
    b'{"id": "1", "id": "2"}',
    b'{"params": {"x": NaN}}',
    b'{"params": {"x": 1e999}}',
    b"[" * 50_000,
    b'{"pad": "' + b"x" * 250_000 + b'"}',
    b"\0" * 2_000_000,
    b'{"id": "1", "expires_at": 1.0}',
)


async def test_what_is_hostile_is_refused_and_the_daemon_goes_on(rig: Rig) -> None:
    async with listening(rig.site, "alice") as alice:
        session = rig.daemon.uplink._session
        for count, payload in enumerate(HOSTILE, 1):
            await alice.client.publish(f"{PREFIX}/request/alice/call", payload, qos=1)
            await rig.refused(count)
        assert rig.acts == []
        assert (await ask(alice, "alice", envelope("alice")))["ok"]
        assert rig.daemon.uplink._session is session


async def test_what_is_longer_than_any_packet_costs_only_its_sender_the_connection(rig: Rig, tmp_path: Path) -> None:
    session = rig.daemon.uplink._session
    big = tmp_path / "big"
    big.write_bytes(b"x" * 5_000_000)
    said = await rig.site.pub("alice", f"{PREFIX}/request/alice/call", "-f", str(big), version="311")
    assert said
    async with rig.site.lab("bob") as bob:
        await bob.call("stage", "identify")
    assert rig.daemon.uplink._session is session
    assert rig.daemon._requests.refused == 0


async def test_a_flood_holds_back_neither_a_stop_nor_anybody_else(rig: Rig) -> None:
    """Ten thousand requests of one user, then her stop, then another's request."""
    async with listening(rig.site, "alice", f"{PREFIX}/reply/alice/#") as alice, rig.site.lab("bob") as bob:
        before = rig.stops
        requests = [envelope("alice", id=f"f{number}") for number in range(10_000)]
        await rig.site.flood("alice", f"{PREFIX}/request/alice/call", requests)
        await alice.client.publish(f"{PREFIX}/request/alice/stop", b"", qos=1)
        await bob.call("gauge", "identify")
        await eventually(lambda: rig.stops > before)
        await alice.until(lambda: any(b'"Busy"' in reply for reply in alice.on(f"{PREFIX}/reply/alice")))
        assert len(alice.on(f"{PREFIX}/reply/alice")) < 5000, "most of a flood is not even answered"
    assert "gauge" in rig.acts
    assert rig.daemon._requests.refused > 5000


async def test_whoever_has_no_good_certificate_does_not_get_in(site: Site, tmp_path: Path) -> None:
    good = site.address("alice")
    other = tmp_path / "other"
    other.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=alice"
    await asyncio.to_thread(run, *command.split(), "-keyout", other / "key", "-out", other / "pem")
    old = await asyncio.to_thread(expired_pair, tmp_path, site.files, "alice")
    broker = site.files / "broker.pem", site.files / "broker.key"
    for cert, key, text in (
        (other / "pem", other / "key", "breaks off TLS: .*unknown ca"),
        (*old, "breaks off TLS: .*certificate expired"),
        (*broker, "breaks off TLS: "),
        (None, None, "breaks off TLS: .*certificate required"),
        (good.cert, old[1], "files for TLS cannot be used"),
    ):
        with pytest.raises(BridgeUnreachable, match=text):
            await try_out(replace(good, cert=cert, key=key))
    with pytest.raises(BridgeUnreachable, match="certificate verify failed"):
        await try_out(replace(good, ca=None))
    with pytest.raises(BridgeUnreachable):
        await try_out(replace(good, tls=False, ca=None, cert=None, key=None))
    await try_out(good)


def listening_on(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    links = (path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir())
    own = {str(link) for link in links}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


async def test_the_broker_listens_on_nothing_but_its_encrypted_ports(site: Site) -> None:
    assert site.broker.process is not None
    pid, wanted = site.broker.process.pid, {site.port, site.port + 1}
    await eventually(lambda: listening_on(pid) >= wanted)
    assert listening_on(pid) == wanted


def run(*words: str | Path) -> None:
    subprocess.run(words, check=True, capture_output=True)


async def try_out(address: BrokerAddress) -> None:
    async with open_session(address, identifier=uuid.uuid4().hex, on_message=lambda _: None):
        pass


async def test_an_expired_certificate_is_told_and_a_renewed_one_is_taken_up(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = await asyncio.to_thread(expired_pair, tmp_path, site.files, "daemon")
    will = Message(f"{PREFIX}/status", b"{}", retain=True)
    address = replace(site.address("daemon"), cert=cert, key=key)
    uplink = Uplink(address, open_session, identifier="test", will=will, backoff_s=(0.01, 0.05))
    uplink.retain(f"{PREFIX}/status", b'{"status": "online"}')
    running = asyncio.create_task(uplink.run())
    try:
        await eventually(lambda: "breaks off TLS: sslv3 alert certificate expired" in caplog.text)
        key.unlink()  # half renewed
        await eventually(lambda: "files for TLS cannot be used" in caplog.text)
        for old, new in zip((cert, key), site.pair("daemon"), strict=True):
            old.write_bytes(new.read_bytes())
        async with asyncio.timeout(20):
            await uplink.connected.wait()
        assert await uplink.flush(20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_has_a_password_comes_by_the_other_port(rig: Rig) -> None:
    """Also with the empty password file that `broker-config` made, nobody gets in without."""
    site = rig.site
    url, ca = f"mqtts://alice@localhost:{site.port + 1}", site.files / "ca.pem"
    with pytest.raises(Refused):
        await try_out(BrokerAddress("localhost", site.port + 1, tls=True, ca=ca))
    await asyncio.to_thread(run, "mosquitto_passwd", "-b", site.files / "passwords", "alice", "s3cret")
    assert site.broker.process is not None
    site.broker.process.send_signal(1)  # which is SIGHUP: read the files again

    async def let_in() -> bool:
        try:
            await try_out(BrokerAddress("localhost", site.port + 1, tls=True, ca=ca, user="alice", password="s3cret"))
        except Refused:
            return False
        return True

    async with asyncio.timeout(20):
        while not await let_in():
            pass
    async with site_client(url, ca, "s3cret") as alice:
        await alice.call("stage", "identify")
    assert rig.acts == ["stage"]
    for password in ("", "wrong"):
        with pytest.raises(Refused, match="refuses the connection"):
            async with site_client(url, ca, password):
                pytest.fail("nobody may come in by that")
    with pytest.raises(InvalidValue, match="has users, and the address of the broker names none"):
        async with site_client(site.url, ca, "", *site.pair("alice")):
            pytest.fail("nobody said who asks")
    with pytest.raises(Refused, match="refuses the message") as caught:
        async with site_client(f"mqtts://bob@localhost:{site.port}", ca, "", *site.pair("alice")):
            pytest.fail("alice is not bob")
    assert "Is bob the user whom the broker knows?" in caught.value.hint


def site_client(url: str, ca: Path, password: str, cert: Path | None = None, key: Path | None = None) -> Any:
    return connect(url, ca=ca, cert=cert, key=key, password=password)


@pytest.mark.parametrize("method", ["stop", "ping"])
async def test_in_nobodys_name_only_stops_pass(rig: Rig, method: str) -> None:
    before = rig.stops
    said = await rig.site.pub("eve", f"{PREFIX}/request/{method}", "-n")
    assert ("Not authorized" in said) is (method == "ping")
    if method == "stop":
        await eventually(lambda: rig.stops > before)
