"""`picobridge install-host` below a folder of its own: shown, done, repeated, undone."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.host.configuration import installed_files

pytestmark = pytest.mark.systemd

LAB = """
[broker]
url = "mqtts://127.0.0.1:8883"
password_file = "secrets/broker.password"
[devices.relays]
driver = "modbus-relay"
address = "serial:?serial=FT1ABCDE"
options = { routes = { feedthrough = [0] } }
[devices.arm]
driver = "newfocus-8742"
address = "usb:104d:4000:11511"
"""
RULES = "etc/udev/rules.d/70-picobridge.rules"
UNIT = "etc/systemd/system/picobridge.service"
CONFIG = "etc/picobridge/lab.toml"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "broker.password").write_text("hunter2\n")
    (folder / "lab.toml").write_text(LAB)
    return folder / "lab.toml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


Run = Callable[..., tuple[int, str, str]]
Install = Callable[..., dict[str, Any]]


@pytest.fixture
def picobridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process: status, what it printed, what it complained of."""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def install(picobridge: Run, root: Path) -> Install:
    """What `--json` says."""

    def run(*words: str | Path) -> dict[str, Any]:
        status, out, err = picobridge("install-host", *words, "--root", root, "--json")
        assert status == 0, out + err
        said: dict[str, Any] = json.loads(out)
        return said

    return run


def files(root: Path) -> dict[str, bytes]:
    """But for what systemd-sysusers and userdel leave."""
    ours = ("etc/picobridge", "etc/systemd", "etc/udev", "etc/sysusers.d", "etc/modules-load.d", "usr", "var")
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in found if str(p.relative_to(root)).startswith(ours)}


def test_shown_first_and_nothing_done_without_an_answer(
    root: Path, lab: Path, install: Install, picobridge: Run
) -> None:
    status, out, err = picobridge("install-host", lab, "--root", root)
    assert status == 1
    assert "write  /etc/udev/rules.d/70-picobridge.rules" in out
    assert "write  /etc/picobridge/lab.toml" in out
    assert "nobody can be asked" in err
    assert "--yes" in err
    plan = install(lab)
    assert plan["done"] is False
    assert {step["state"] for step in plan["plan"] if "file" in step} == {"new"}
    assert files(root) == {}


def test_done_repeated_and_undone(root: Path, lab: Path, install: Install) -> None:
    assert install(lab, "--yes")["done"] is True
    installed = files(root)
    assert {RULES, UNIT, CONFIG, "etc/picobridge/secrets/broker.password"} <= set(installed)
    assert installed[CONFIG].decode() == LAB
    names = installed["etc/udev/rules.d/71-picobridge-names.rules"].decode()
    assert 'SYMLINK+="picobridge/relays"' in names
    assert 'SYMLINK+="picobridge/arm"' in names
    share = "usr/local/share/"
    assert installed[f"{share}man/man1/picobridge.1"].startswith(b".TH PICOBRIDGE 1")
    for name in (
        "man/man5/picobridge.toml.5",
        "bash-completion/completions/picobridge",
        "zsh/site-functions/_picobridge",
    ):
        assert b"picobridge" in installed[share + name]
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o640
    assert (root / UNIT).stat().st_mode & 0o777 == 0o644
    if os.geteuid() == 0:
        groups = dict(line.split(":")[0::2] for line in (root / "etc/group").read_text().splitlines() if line)
        assert (root / CONFIG).stat().st_gid == int(groups["picobridge"])
    again = install(lab, "--yes")
    assert {step["state"] for step in again["plan"] if "file" in step} == {"unchanged"}
    assert files(root) == installed
    said = install("--undo", "--yes")
    assert said["left"] == []
    assert files(root) == {}
    left = [name for name in ("var", "usr") if (root / name).exists()]
    assert left == [], "folders that were made are gone too"
    assert "picobridge" not in (root / "etc/passwd").read_text()


def test_what_was_there_before_comes_back(root: Path, lab: Path, install: Install, picobridge: Run) -> None:
    for name, text in ((RULES, "# mine\n"), (CONFIG, "# my configuration\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / CONFIG).chmod(0o600)
    before = files(root)
    _, out, _ = picobridge("install-host", lab, "--root", root)
    assert "change /etc/udev/rules.d/70-picobridge.rules" in out
    assert "      -# mine" in out
    install(lab, "--yes")
    install(lab, "--yes")
    assert files(root)[RULES] != before[RULES]
    install("--undo", "--yes")
    assert files(root) == before
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o600


def test_what_was_changed_since_stays(root: Path, lab: Path, install: Install) -> None:
    install(lab, "--yes")
    (root / CONFIG).write_text(LAB + "# changed\n")
    said = install("--undo", "--yes")
    assert said["left"] == ["leave /etc/picobridge/lab.toml: it was changed since"]
    assert list(files(root)) == [CONFIG]


def test_a_change_of_the_users_that_is_replaced_comes_back(root: Path, lab: Path, install: Install) -> None:
    install(lab, "--yes")
    (root / CONFIG).write_text(LAB + "# changed\n")
    install(lab, "--yes")
    assert (root / CONFIG).read_text() == LAB
    install("--undo", "--yes")
    assert (root / CONFIG).read_text() == LAB + "# changed\n"


def test_records_keep_their_owner(root: Path, lab: Path, install: Install) -> None:
    install(lab, "--yes")
    (root / "var/lib/picobridge").mkdir()
    said = install("--undo", "--yes")
    assert said["left"] == ["leave the user picobridge: /var/lib/picobridge belong to it"]
    assert "picobridge" in (root / "etc/passwd").read_text()


def test_without_a_configuration(root: Path, install: Install) -> None:
    said = install("--yes")
    assert said["notes"] == [
        "no configuration given: write /etc/picobridge/lab.toml, or name one: picobridge install-host lab.toml"
    ]
    assert UNIT in files(root)
    assert CONFIG not in files(root)


def test_no_password_is_shown(root: Path, lab: Path, install: Install, picobridge: Run) -> None:
    lab.write_text(LAB.replace('password_file = "secrets/broker.password"', 'password = "hunter2"'))
    install(lab, "--yes")
    lab.write_text(LAB.replace('password_file = "secrets/broker.password"', 'password = "hunter3"'))
    _, out, _ = picobridge("install-host", lab, "--root", root)
    assert "change /etc/picobridge/lab.toml" in out
    assert "hunter" not in out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAB.replace("secrets/broker.password", "../elsewhere"), "not in its folder"),
        ('[bridge]\nstate_dir = "state"\n', "bridge.state_dir is 'state'"),
        ('[bridge]\nname = "Ä"\n', "bridge.name is 'Ä'"),
    ],
)
def test_a_configuration_that_would_not_work_is_refused(
    root: Path, lab: Path, text: str, why: str, picobridge: Run
) -> None:
    (lab.parent.parent / "elsewhere").write_text("x")
    lab.write_text(text)
    status, _, err = picobridge("install-host", lab, "--root", root, "--yes")
    assert status == 1
    assert why in err
    assert files(root) == {}


def test_wrong_uses(root: Path, lab: Path, picobridge: Run) -> None:
    for words, why in (
        (("--undo", "--root", root, "--yes"), "has installed nothing here"),
        (("--undo", lab, "--root", root), "--undo takes no configuration"),
        ((lab.with_name("none.toml"), "--root", root), "cannot be read"),
        (("--root", root / "none"), "accepted: a folder that is there"),
    ):
        status, _, err = picobridge("install-host", *words)
        assert status == 1
        assert why in err


def test_without_root_it_is_refused(monkeypatch: pytest.MonkeyPatch, picobridge: Run) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    status, _, err = picobridge("install-host")  # no --yes: were it not refused, nobody could be asked
    assert status == 1
    assert "needs root" in err
    assert "sudo" in err


def test_the_rules_alone(lab: Path, picobridge: Run) -> None:
    status, out, err = picobridge("udev-rules", lab)
    assert (status, err) == (0, "")
    assert out.count("SYMLINK+=") == 2


def test_the_files_of_the_page_go_along(tmp_path: Path) -> None:
    for name in ("web.pem", "web.key", "ca.pem"):
        (tmp_path / name).write_text(name)
    (tmp_path / "lab.toml").write_text('[web]\ncert = "web.pem"\nkey = "web.key"\nca = "ca.pem"\n')
    files = {str(path): content.decode() for path, content in installed_files(tmp_path / "lab.toml").items()}
    assert {name: files[f"/etc/picobridge/{name}"] for name in ("web.pem", "web.key", "ca.pem")} == {
        name: name for name in ("web.pem", "web.key", "ca.pem")
    }
