"""[web]: who is let in is never more than was meant, and a mistake is told before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.daemon.config import Config, load
from bridge.daemon.web_config import WebConfig
from drivers.errors import ConfigurationError
from tests.access.conftest import certificates

__all__ = ["certificates"]

FILES = 'cert = "broker/broker.pem"\nkey = "broker/broker.key"\nca = "broker/ca.pem"\n'
BROKER = '[broker]\nurl = "mqtts://localhost"\nca = "broker/ca.pem"\n'
LOGIN = BROKER + 'cert = "broker/daemon.pem"\nkey = "broker/daemon.key"\n'
USERS = LOGIN + '[access.users.alice]\nrole = "operator"\n'


@pytest.fixture
def folder(certificates: Path, tmp_path: Path) -> Path:
    (tmp_path / "broker").symlink_to(certificates)
    return tmp_path


def loaded(folder: Path, text: str) -> Config:
    (folder / "lab.toml").write_text(f'[bridge]\nstate_dir = "state"\n{text}')
    return load(folder / "lab.toml")


@pytest.mark.parametrize(
    ("text", "web"),
    [
        ("", WebConfig()),
        (BROKER, WebConfig()),
        (LOGIN, None),
        ('[broker]\nurl = "mqtt://host"\nuser = "daemon"\npassword = "x"', None),
        (USERS, None),
        ("[web]\nenabled = false", None),
        ("[web]\nport = 0", WebConfig(port=0)),
        (f"{LOGIN}[web]\nenabled = true", WebConfig()),
        ('[web]\nhost = "::1"\nnames = ["Lab-PC"]', WebConfig(host="::1", names=("lab-pc",))),
    ],
)
def test_where_the_page_is_served(folder: Path, text: str, web: WebConfig | None) -> None:
    assert loaded(folder, text).web == web


def test_a_page_for_other_computers(folder: Path) -> None:
    web = loaded(folder, f'{USERS}[web]\nhost = "0.0.0.0"\nnames = ["lab-pc"]\n{FILES}').web
    assert web is not None
    assert web.tls
    assert web.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[web]\nhost = "0.0.0.0"', "web.host is '0.0.0.0', which other computers reach; accepted: 127.0.0.1, or"),
        (f'[web]\nhost = "192.0.2.7"\n{FILES}', "web.host is '192.0.2.7', which other computers reach"),
        (f'{USERS}[web]\nhost = "192.0.2.7"', "web.host is '192.0.2.7', which other computers reach"),
        (f"{USERS}[web]", "web.cert is missing: a bridge with users knows them by their certificates"),
        (f'{USERS}[web]\nhost = "::"\n{FILES}', "web.names is missing beside host = '::'"),
        ('[web]\nhost = "lab-pc"', "web.host is 'lab-pc'; accepted: an address"),
        ("[web]\nport = 70000", "web.port is 70000"),
        ('[web]\nnames = "lab-pc"', "web.names is 'lab-pc'; accepted: a list"),
        ('[web]\nnames = ["lab-pc:8765/"]', "web.names is"),
        (
            '[web]\ncert = "broker/broker.pem"',
            "web.key is missing beside cert; accepted: all of cert, key, ca, or none",
        ),
        (f"[web]\n{FILES.replace('broker.key', 'daemon.key')}", "web.cert is 'broker.pem', which cannot be used"),
        (f"[web]\n{FILES.replace('ca.pem', 'acl')}", "web.ca holds no certificate"),
        (f"[web]\n{FILES.replace('ca.pem', 'nothing.pem')}", "web.ca is 'broker/nothing.pem', which cannot be read"),
        ('[web]\nadress = "127.0.0.1"', "web.adress is not known"),
        (
            f"{LOGIN}[web]",
            "web.enabled is missing: through the page anybody on this computer would ask with the daemon",
        ),
        ("web = 3", "web is 3; accepted: a table [web]"),
    ],
)
def test_a_mistake_is_told_before_anything_is_opened(folder: Path, text: str, problem: str) -> None:
    (folder / "lab.toml").write_text(f'{text}\n[bridge]\nstate_dir = "state"\n')
    with pytest.raises(ConfigurationError) as refused:
        load(folder / "lab.toml")
    assert any(problem in line for line in refused.value.detail["problems"]), refused.value.detail["problems"]
