"""The table [access], and who may have what executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.access.options import Access, parse_access
from bridge.access.permissions import Role, check_role, least_role
from bridge.daemon.config import load
from drivers.errors import ConfigurationError, Refused

ALICE = {"alice": {"role": "operator"}}


def problems(values: Any) -> list[str]:
    said: list[str] = []
    access = parse_access(values, lambda key, text: said.append(f"{key} {text}"))
    assert (access is None) == bool(said)
    return said


def test_users_with_their_roles() -> None:
    table = {"users": {**ALICE, "eve": {"role": "observer"}, "root": {"role": "administrator"}}, "burst": 7}
    assert parse_access(table, lambda key, text: pytest.fail(text)) == Access(
        users={"alice": Role.OPERATOR, "eve": Role.OBSERVER, "root": Role.ADMINISTRATOR}, burst=7
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (7, " is 7; accepted: a table [access]"),
        ({"users": ALICE, "user": 1}, "user is not known; accepted: daemon, users, requests_per_s, burst"),
        ({}, "users has nobody: no request would be executed"),
        ({"users": []}, "users is []; accepted: a table [access.users.NAME] for each user"),
        ({"users": {"alice": "operator"}}, "users.alice is 'operator'; accepted: a table [access.users.alice]"),
        ({"users": {"alice": {}}}, "users.alice.role is missing; accepted: observer, operator, administrator"),
        ({"users": {"alice": {"role": "root"}}}, "users.alice.role is 'root'; accepted: observer, operator, admin"),
        ({"users": {"alice": {"role": ["operator"]}}}, "users.alice.role is ['operator']; accepted: observer"),
        ({"users": {"alice": {"role": "operator", "key": 1}}}, "users.alice.key is not known; accepted: role"),
        (
            {"users": {"Alice": {"role": "operator"}}},
            "users.Alice has a name that no topic can have; accepted: 1 to 24",
        ),
        ({"users": {"a/b": {"role": "operator"}}}, "users.a/b has a name that no topic can have"),
        ({"users": {"+": {"role": "operator"}}}, "users.+ has a name that no topic can have"),
        ({"users": {"a" * 25: {"role": "operator"}}}, "has a name that no topic can have"),
        (
            {"users": {**ALICE, "alice-b": {"role": "observer"}}},
            "users.alice-b begins with 'alice-', which names the pro",
        ),
        ({"users": ALICE, "daemon": "alice"}, "daemon is 'alice', which is a user's name; accepted: an account of the"),
        ({"users": ALICE, "daemon": 3}, "daemon is 3; accepted: 1 to 24 characters"),
        ({"users": ALICE, "burst": 0}, "burst is 0; accepted: a whole number from 1 to 100000"),
        ({"users": ALICE, "requests_per_s": True}, "requests_per_s is True; accepted: a whole number"),
    ],
)
def test_a_mistake_names_key_value_and_what_is_accepted(values: Any, text: str) -> None:
    assert any(text in problem for problem in problems(values)), problems(values)


def test_in_a_file_with_everything_else_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        '[broker]\nurl = "mqtts://broker.lab"\n'
        '[access.users.alice]\nrole = "boss"\n[access.users.bob]\nrole = "observer"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert caught.value.detail["problems"] == [
        f"{file}: access.users.alice.role is 'boss'; accepted: observer, operator, administrator"
    ]
    file.write_text(file.read_text().replace("boss", "operator"))
    assert load(file).access == Access(users={"alice": Role.OPERATOR, "bob": Role.OBSERVER})


@pytest.mark.parametrize("broker", ["", '[broker]\nurl = "embedded"\n'])
def test_users_need_a_broker_that_proves_them(tmp_path: Path, broker: str) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(f'{broker}[access.users.alice]\nrole = "operator"\n')
    with pytest.raises(ConfigurationError, match=r"access needs a broker that proves who sends.*broker-config"):
        load(file)


def test_each_role_may_do_what_the_one_before_it_may() -> None:
    assert least_role("ping") is least_role("stop") is least_role("emergency_stop") is Role.OBSERVER
    assert least_role("call") is least_role("run") is least_role("acknowledge") is Role.OPERATOR
    assert least_role("override") is least_role("reload") is least_role("takeover") is Role.ADMINISTRATOR
    assert least_role("something-new") is Role.ADMINISTRATOR
    for role in Role:
        for method in ("ping", "call", "override"):
            if role >= least_role(method):
                check_role("alice", role, method)
                continue
            with pytest.raises(Refused, match=f"alice is an {role}; {method} needs an {least_role(method)}"):
                check_role("alice", role, method)
