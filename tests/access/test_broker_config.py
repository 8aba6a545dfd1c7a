"""`picobridge broker-config`: what it writes, and what it leaves alone."""

from __future__ import annotations

import re
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from bridge.access import mosquitto
from bridge.access.options import Access
from bridge.access.permissions import Role
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.topics import Topics
from drivers.errors import ConfigurationError, InvalidValue, Unsupported

from .site import command, write_config


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def openssl(*words: str | Path) -> str:
    texts = ["openssl", *(str(word) for word in words)]
    return subprocess.run(texts, check=True, capture_output=True, text=True).stdout


def shown(certificate: Path) -> str:
    wanted = "-noout -subject -startdate -enddate -ext subjectAltName,extendedKeyUsage"
    return openssl("x509", "-in", certificate, *wanted.split())


def seconds_of(certificate: Path) -> float:
    """How long it is valid."""
    dates = dict(re.findall(r"^not(Before|After)=(.*)$", shown(certificate), re.MULTILINE))
    return ssl.cert_time_to_seconds(dates["After"]) - ssl.cert_time_to_seconds(dates["Before"])


def test_the_acl_gives_each_user_her_own_branches_and_nobody_anothers() -> None:
    access = Access(users={"alice": Role.OPERATOR, "eve": Role.OBSERVER}, daemon="bridge")
    lines = mosquitto.acl(Topics("site/lab"), access).splitlines()
    assert lines[0] + "\n" == mosquitto.HEADER
    assert [line for line in lines if line.startswith("pattern")] == [
        "pattern write site/lab/request/%u/+",
        "pattern read site/lab/reply/%u/#",
        "pattern read site/lab/replay/%u/#",
    ]
    sections: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("user "):
            sections[line.removeprefix("user ")] = []
        elif line.startswith("topic "):
            sections[next(reversed(sections))].append(line.removeprefix("topic "))
    assert list(sections) == ["bridge", "alice", "eve"]
    assert [right for right in sections["bridge"] if right.startswith("read")] == [
        "read site/lab/request/#",
        "readwrite site/lab/claim",
        "readwrite site/lab/status",
    ]
    assert sections["alice"] == sections["eve"], "roles are the daemon's to judge"
    assert [right for right in sections["eve"] if not right.startswith("read")] == [
        "write site/lab/request/stop",
        "write site/lab/request/emergency_stop",
    ]
    assert not [right for right in sections["eve"] if re.search(r"lab/(#|request/[^se]|reply|replay)", right)]


def test_discovery_is_written_by_the_daemon_and_read_by_the_users() -> None:
    access = Access(users={"house": Role.OBSERVER}, daemon="bridge")
    without, rights = (mosquitto.acl(Topics("site/lab"), access, root).splitlines() for root in ("", "homeassistant"))
    daemon, house = ("topic write homeassistant/device/#", "topic read homeassistant/#")
    assert [line for line in rights if line not in without] == [daemon, house]
    assert rights.index("user bridge") < rights.index(daemon) < rights.index("user house") < rights.index(house)


def test_the_configuration_lets_nobody_in_who_proves_nothing(tmp_path: Path) -> None:
    for passwords in (False, True):
        lines = mosquitto.configuration(tmp_path, 8883, passwords).splitlines()
        assert "allow_anonymous false" in lines
        assert f"acl_file {tmp_path}/acl" in lines
        assert (f"password_file {tmp_path}/passwords" in lines) is passwords
        first, *others = [number for number, line in enumerate(lines) if line.startswith("listener ")]
        assert lines[first] == "listener 8883"
        assert "require_certificate true" in lines[first : others[0] if others else None]
        assert "use_identity_as_username true" in lines[first : others[0] if others else None]
        assert [lines[number] for number in others] == (["listener 8884"] if passwords else [])
        assert sum(line.startswith("certfile") for line in lines) == 1 + len(others), "none without TLS"


async def test_certificates_for_everybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, 9883, {"alice": "operator"}, more='daemon = "bridge"\n')
    words = ("broker-config", config, "--out", tmp_path / "broker", "--make-certificates", "--days", "30")
    assert await command(*words, "--host", "lab-pc.example.org", "--host", "192.0.2.7", "--port", "9883") == 0
    said = capsys.readouterr().out
    folder = tmp_path / "broker"
    files = {str(path.relative_to(folder)): mode(path) for path in folder.rglob("*") if path.is_file()}
    pairs = ("ca", "broker", "daemon", "users/alice")
    assert files == {
        "mosquitto.conf": 0o644,
        "acl": 0o600,
        **{f"{name}.pem": 0o644 for name in pairs},
        **{f"{name}.key": 0o600 for name in pairs},
    }
    assert mode(folder / "users") == 0o700
    assert all(f"wrote {folder}/{name}" in said for name in files)
    assert f'url = "mqtts://localhost:9883"\n    ca = "{folder}/ca.pem"' in said
    assert (
        "picobridge devices --broker mqtts://alice@localhost:9883 --ca ca.pem --cert alice.pem --key alice.key" in said
    )

    assert "CN = bridge" in shown(folder / "daemon.pem")
    assert "CN = alice" in shown(folder / "users" / "alice.pem")
    assert "TLS Web Client Authentication" in shown(folder / "users" / "alice.pem")
    broker = shown(folder / "broker.pem")
    assert "TLS Web Server Authentication" in broker
    assert "DNS:localhost, DNS:lab-pc.example.org, IP Address:192.0.2.7" in broker
    for name in ("broker", "daemon", "users/alice"):
        assert seconds_of(folder / f"{name}.pem") == 30 * 86400
        openssl("verify", "-x509_strict", "-CAfile", folder / "ca.pem", folder / f"{name}.pem")


async def test_only_what_is_missing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "broker"
    words = ("broker-config", tmp_path / "lab.toml", "--out", folder, "--make-certificates")
    write_config(tmp_path, 8883, {"alice": "operator"})
    await command(*words)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".pem", ".key")}
    capsys.readouterr()

    write_config(tmp_path, 8883, {"alice": "operator", "bob": "observer"})
    (folder / "users" / "alice.key").unlink()
    with pytest.raises(ConfigurationError, match=r"alice.pem is there and .*alice.key is not; nothing is overwritten"):
        await command(*words)
    (folder / "users" / "alice.pem").unlink()
    await command(*words)
    made = {line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines() if line.startswith("wrote ")}
    users = folder / "users"
    assert made == {
        *(str(folder / name) for name in ("mosquitto.conf", "acl")),
        *(str(users / name) for name in ("alice.pem", "alice.key", "bob.pem", "bob.key")),
    }
    assert {path for path, content in before.items() if path.read_bytes() != content} == {
        users / "alice.pem",
        users / "alice.key",
    }

    # with the authority's key put away, nothing is missing and nothing can be made
    (folder / "ca.key").rename(tmp_path / "ca.key")
    await command(*words)
    assert "whoever has it can be any user" not in capsys.readouterr().out
    write_config(tmp_path, 8883, {"carol": "observer"})
    with pytest.raises(
        ConfigurationError, match=r"ca.key is not there: without it no certificate can be made for carol"
    ):
        await command(*words)
    assert not list(folder.glob(".making-*"))


async def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    write_config(tmp_path, 8883)
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "acl").write_text("user me\n")
    with pytest.raises(ConfigurationError, match=r"acl is there, and picobridge did not write it; nothing was written"):
        await command("broker-config", tmp_path / "lab.toml", "--out", folder)
    assert [path.name for path in folder.iterdir()] == ["acl"]
    assert (folder / "acl").read_text() == "user me\n"


async def test_passwords_that_are_there_stay(tmp_path: Path) -> None:
    write_config(tmp_path, 8883)
    words = ("broker-config", tmp_path / "lab.toml", "--out", tmp_path / "broker", "--passwords")
    await command(*words)
    passwords = tmp_path / "broker" / "passwords"
    assert (mode(passwords), passwords.read_bytes()) == (0o600, b"")
    passwords.write_text("alice:secret\n")
    await command(*words)
    assert passwords.read_text() == "alice:secret\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--port", "70000"), "--port is 70000; accepted: 1 to 65534"),
        (("--days", "0"), "--days is 0; accepted: 1 to 36500"),
        (("--host", "a b"), "--host is 'a b'; accepted: a name"),
        (("--host", "x,DNS:y"), "--host is 'x,DNS:y'"),
    ],
)
async def test_what_makes_no_sense_writes_nothing(tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    write_config(tmp_path, 8883)
    with pytest.raises(InvalidValue, match=re.escape(text)):
        await command("broker-config", tmp_path / "lab.toml", "--out", tmp_path / "broker", *words)
    assert not (tmp_path / "broker").exists()


async def test_a_configuration_without_users_is_none_for_this(tmp_path: Path) -> None:
    config = tmp_path / "lab.toml"
    for content, text in (
        ("", "access is missing"),
        ('[access.users.alice]\nrole = "operator"', "access needs a broker that proves who sends"),
        ('[broker]\nurl = "mqtts://x"\n[access.users.alice]\nrole = "x"', "access.users.alice.role is 'x'"),
    ):
        config.write_text(content)
        with pytest.raises(ConfigurationError, match=text):
            await command("broker-config", config, "--out", tmp_path / "broker", "--make-certificates")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await command("broker-config", tmp_path / "none.toml", "--out", tmp_path / "broker")


async def test_without_openssl_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path, 8883)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="openssl, which is not installed"):
        await command("broker-config", tmp_path / "lab.toml", "--out", tmp_path / "broker", "--make-certificates")


async def test_the_embedded_broker_listens_on_this_computer_only() -> None:
    async with embedded_broker(0) as address:
        assert address.host == "127.0.0.1"
        socket.create_connection(("127.0.0.1", address.port), 5).close()
        # bound to every interface it would answer at these as well
        for host, family in (("127.0.0.2", socket.AF_INET), ("::1", socket.AF_INET6)):
            with socket.socket(family) as elsewhere, pytest.raises(OSError, match=r"refused|unavailable|assign|reach"):
                elsewhere.connect((host, address.port))
