"""The unit, the user and what systemd's own programs say about them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.daemon.config import load
from bridge.host.service_unit import service_unit
from bridge.host.shipped import UNIT, USER, shipped
from drivers.errors import Refused

pytestmark = pytest.mark.systemd

PROGRAM = Path(sys.prefix) / "bin" / "picobridge"
LAB = Path("/etc/picobridge/lab.toml")


def analysed(*words: str) -> tuple[int, str]:
    ended = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=30)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A picobridge where a service may look, wherever the tests' own is."""
    path = tmp_path / "bin" / "picobridge"
    path.parent.mkdir()
    path.symlink_to(PROGRAM if PROGRAM.exists() else "/bin/true")
    return path


def config(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text)
    return path


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path, program: Path) -> None:
    (tmp_path / UNIT).write_text(service_unit(program, LAB, None))
    assert analysed("verify", str(tmp_path / UNIT)) == (0, "")


def test_a_misspelt_line_would_be_noticed(tmp_path: Path, program: Path) -> None:
    (tmp_path / UNIT).write_text(service_unit(program, LAB, None).replace("PrivateTmp=", "PrivatTmp="))
    assert analysed("verify", str(tmp_path / UNIT))[1]


def test_exposure(tmp_path: Path, program: Path) -> None:
    """At most 1.5, systemd's scale from 0 (nothing) to 10 (everything)."""
    (tmp_path / UNIT).write_text(service_unit(program, LAB, None))
    status, said = analysed("security", "--offline=true", "--threshold=15", "--no-pager", str(tmp_path / UNIT))
    found = re.search(r"Overall exposure level for picobridge.service: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= 1.5
    assert status == 0, said


def test_what_the_daemon_needs_is_let_through() -> None:
    unit = shipped(UNIT)
    for kind in ("char-ttyUSB", "char-ttyACM", "char-usb_device"):
        assert f"\nDeviceAllow={kind} rw\n" in unit
    families = re.search(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert families is not None
    assert set(families[1].split()) == {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}
    assert "PrivateNetwork" not in unit
    assert "PrivateDevices" not in unit, "it would hide the instruments"
    for line in (
        "Type=notify",
        "WatchdogSec=10",
        "Restart=on-failure",
        "StartLimitBurst=5",
        "StateDirectory=picobridge",
    ):
        assert f"\n{line}\n" in unit


def test_it_is_for_this_installation_and_configuration(tmp_path: Path) -> None:
    lab = config(
        tmp_path,
        """
[bridge]
state_dir = "/data/state"
data_dir = "/data/runs"
[broker]
url = "mqtt://192.0.2.7:1883"
[devices.pstat]
driver = "keithley-24xx"
address = "visa:TCPIP::192.168.0.5::5025::SOCKET"
""",
    )
    unit = service_unit(Path("/srv/pico/bin/picobridge"), Path("/etc/picobridge/other.toml"), load(lab))
    assert "\nExecStart=/srv/pico/bin/picobridge run /etc/picobridge/other.toml\n" in unit
    post = "\nExecStopPost=/srv/pico/bin/picobridge make-safe --after-crash /etc/picobridge/other.toml\n"
    assert post in unit
    assert "\nReadWritePaths=-/data/runs\nReadWritePaths=-/data/state\n" in unit
    assert "\nIPAddressAllow=192.0.2.7\n" in unit, "no private network, so it is let through by itself"
    assert "192.168.0.5" not in unit


def test_a_broker_by_name_opens_the_network(tmp_path: Path) -> None:
    lab = config(tmp_path, '[broker]\nurl = "mqtt://broker.example:1883"\n')
    assert "\nIPAddressAllow=any\n" in service_unit(Path("/srv/pico/bin/picobridge"), LAB, load(lab))


@pytest.mark.parametrize(
    ("program", "text", "why"),
    [
        ("/home/alice/picobridge/.venv/bin/picobridge", "", "may not look into /home"),
        ("/srv/pico/bin/picobridge", '[bridge]\ndata_dir = "/home/alice/runs"\n', "the folder for its data"),
        ("/srv/my pico/bin/picobridge", "", "accepted in a unit"),
    ],
)
def test_what_a_service_could_not_reach_is_refused(tmp_path: Path, program: str, text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        service_unit(Path(program), LAB, load(config(tmp_path, text)))


def test_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc" / "sysusers.d").mkdir(parents=True)
    (tmp_path / "etc" / "sysusers.d" / "picobridge.conf").write_text(shipped(USER))
    argv = ["systemd-sysusers", f"--root={tmp_path}", "picobridge.conf"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    user = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert user[0] == "picobridge"
    assert user[5] == "/var/lib/picobridge"
    assert user[6].strip().endswith("nologin")
    groups = (tmp_path / "etc" / "group").read_text().splitlines()
    assert any(line.startswith("dialout:") and line.endswith(":picobridge") for line in groups)


def test_json_of_security_is_what_the_threshold_reads(tmp_path: Path, program: Path) -> None:
    (tmp_path / UNIT).write_text(service_unit(program, LAB, None))
    _, said = analysed("security", "--offline=true", "--json=short", "--no-pager", str(tmp_path / UNIT))
    left = {row["name"] for row in json.loads(said) if row["exposure"] and float(row["exposure"]) >= 0.3}
    assert left <= {"PrivateNetwork=", "RestrictAddressFamilies=~AF_(INET|INET6)"}, "only what the job itself needs"
