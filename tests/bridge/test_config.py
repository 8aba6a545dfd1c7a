"""The configuration file: what is taken, and how each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.daemon.config import load
from bridge.transfer.mqtt import BrokerAddress
from drivers.errors import ConfigurationError

GOOD = """
[bridge]
name = "lab-2"
state_dir = "state"

[broker]
url = "mqtts://broker.example"
user = "daemon"
password_file = "password"
ca = "ca.pem"
version = "5"

[devices.gauge]
driver = "pfeiffer-tpg"
address = "serial:/dev/ttyUSB0"
serial = "4711"

[devices.relay]
driver = "modbus-relay"
address = "tcp:192.168.0.7:502"
options = { routes = { feedthrough = [0], cell = [3] } }
"""


@pytest.fixture
def write(tmp_path: Path) -> object:
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "ca.pem").write_bytes(Path(__file__).with_name("ca.pem").read_bytes())

    def write(text: str) -> Path:
        path = tmp_path / "lab.toml"
        path.write_text(text)
        return path

    return write


def test_a_good_file(write: object, tmp_path: Path) -> None:
    config = load(write(GOOD))  # type: ignore[operator]
    assert config.topics.prefix == "picobridge/lab-2"
    assert config.state_dir == tmp_path / "state"
    assert config.broker.address == BrokerAddress(
        "broker.example", 8883, True, "daemon", "s3cret", tmp_path / "ca.pem", version="5"
    )
    assert config.devices["gauge"].serial == "4711"
    assert config.devices["relay"].options == {"routes": {"feedthrough": [0], "cell": [3]}}
    assert "s3cret" not in repr(config)


def test_nothing_at_all_is_an_embedded_broker(write: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/picobridge:/other")
    config = load(write(""))  # type: ignore[operator]
    assert (config.bridge, config.broker.address, config.broker.port) == ("lab", None, 1883)
    assert (config.topics.prefix, config.state_dir) == ("picobridge/lab", Path("/var/lib/picobridge"))
    assert (config.data_dir, config.reports) == (Path("/var/lib/picobridge/runs"), True)


def test_runs_may_be_recorded_elsewhere_or_not_at_all(write: object, tmp_path: Path) -> None:
    assert load(write("[bridge]\ndata_dir = 'data'")).data_dir == tmp_path / "data"  # type: ignore[operator]
    assert load(write("[bridge]\nrecord = false")).data_dir is None  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[bridge]\nname = 'Lab 1'", "bridge.name is 'Lab 1'; accepted: 1 to 32 characters"),
        ("[bridge]\nnmae = 'x'", "bridge.nmae is not known; accepted: name, prefix, state_dir, queue_mb, record,"),
        ("[bridge]\nrecord = 'no'", "bridge.record is 'no'; accepted: true or false"),
        ("[bridge]\nmin_free_mb = 0", "bridge.min_free_mb is 0; accepted: a whole number from 1 to"),
        ("[bridge]\nprefix = 'a/#'", "bridge.prefix is 'a/#'; accepted: levels such as"),
        ("[bridge]\nqueue_mb = 0", "bridge.queue_mb is 0; accepted: a whole number from 1 to 100000"),
        ("bridge = 3", "bridge is 3; accepted: a table [bridge]"),
        (
            "[brocker]",
            "brocker is not known; accepted: bridge, broker, access, spool, interlocks, metrics, web, home_assistant, "
            "devices, watch, hil; did you mean 'broker'?",
        ),
        ("[broker]\nurl = 'http://x'", "broker.url is no address of a broker: Accepted: mqtt://host"),
        ("[broker]\nurl = 'mqtt://x:y'", "broker.url is no address"),
        ("[broker]\nuser = 'x'", "broker.user is for a broker with a url"),
        ("[broker]\nurl = 'mqtt://x'\nport = 1", "broker.port is for the embedded broker"),
        ("[broker]\nport = 70000", "broker.port is 70000; accepted: a whole number from 0 to 65535"),
        ("[broker]\nurl = 'mqtt://x'\nca = 'ca.pem'", "broker.ca is for an mqtts:// broker"),
        ("[broker]\nurl = 'mqtts://x'\nkey = 'ca.pem'", "broker.key is given without cert"),
        ("[broker]\nurl = 'mqtts://x'\nca = 'no.pem'", "broker.ca is 'no.pem', which cannot be read: No such file"),
        ("[broker]\nurl = 'mqtt://x'\nversion = '4'", "broker.version is '4'; accepted: auto, 5, 3.1.1"),
        ("[broker]\nurl = 'mqtt://x'\npassword = 'a'\npassword_file = 'password'", "is given beside password"),
        ("[devices.a]\naddress = 'tcp:x:1'", "devices.a.driver is missing"),
        ("[devices.a]\ndriver = 'zeis-remcon'\naddress = 'tcp:x:1'", "did you mean 'zeiss-remcon'?"),
        ("[devices.a]\ndriver = 'pfeiffer-tpg'", "devices.a.address is missing"),
        ("[devices.a]\ndriver = 'pfeiffer-tpg'\naddress = 3", "devices.a.address is 3; accepted: text"),
        ("[devices.a]\ndriver = 'pfeiffer-tpg'\naddress = 'usb:1234:5678'", "devices.a.address pfeiffer-tpg takes no"),
        ("[devices.a]\ndriver = 'pfeiffer-tpg'\naddress = 'tcp:x:1'\nserail = '1'", "did you mean 'serial'?"),
        (
            "[devices.a]\ndriver = 'modbus-relay'\naddress = 'tcp:x:1'\noptions = {routs = {}}",
            "devices.a.options.routs is not known; accepted: ",
        ),
        ("[devices.'A/b']\ndriver = 'pfeiffer-tpg'\naddress = 'tcp:x:1'", "has a name that cannot be a topic's"),
        (
            "[devices.a]\ndriver = 'pfeiffer-tpg'\naddress = 'tcp:x:1'\n"
            "[devices.b]\ndriver = 'pfeiffer-tpg'\naddress = 'tcp:x:1'",
            "devices.b.address is 'tcp:x:1', which devices.a has already",
        ),
    ],
)
def test_a_mistake_names_file_key_value_and_what_is_accepted(write: object, text: str, problem: str) -> None:
    path = write(text)  # type: ignore[operator]
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert problem in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert "s3cret" not in caught.value.message


def test_all_mistakes_are_told_at_once(write: object) -> None:
    text = "[bridge]\nname = 'A'\n[broker]\nurl = 'x'\n[devices.a]\ndriver = 'y'\n[devices.b]\n"
    with pytest.raises(ConfigurationError) as caught:
        load(write(text))  # type: ignore[operator]
    assert len(caught.value.detail["problems"]) == 6
    assert caught.value.message.count("\n") == 5


def test_what_is_no_toml_names_the_line(write: object) -> None:
    with pytest.raises(ConfigurationError, match=r"lab\.toml is not TOML: .*line 2"):
        load(write("[bridge]\nname = \n"))  # type: ignore[operator]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read: No such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host", BrokerAddress("host", 1883)),
        ("mqtt://u:p%40@host:99/", BrokerAddress("host", 99, user="u", password="p@")),
        ("mqtts://[::1]", BrokerAddress("::1", 8883, tls=True)),
    ],
)
def test_addresses_of_brokers(url: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == address
    assert "p@" not in str(address)
