"""Users and roles that change while their clients are connected."""

from __future__ import annotations

import pytest

from bridge.daemon.config import load
from bridge.daemon.daemon import Daemon
from drivers.errors import InvalidValue, Refused

from .site import ROLES, Site, write_config

pytestmark = pytest.mark.mosquitto


async def test_roles_change_while_clients_are_connected(site: Site) -> None:
    async with (
        Daemon(load(site.config), file=site.config),
        site.lab("root") as root,
        site.lab("eve") as eve,
        site.lab("bob") as bob,
    ):
        with pytest.raises(Refused, match="reload needs an administrator"):
            await bob.request("reload")
        with pytest.raises(Refused, match="eve is an observer"):
            await eve.request("acknowledge", {"fault": 7})
        roles = {**ROLES, "eve": "operator"}
        del roles["bob"]
        write_config(site.folder, site.port, roles)
        answer = await root.request("reload")
        assert answer["applied"] == [
            "[access] users is alice: operator, eve: operator, root: administrator, "
            "was alice: operator, bob: operator, eve: observer, root: administrator"
        ]
        with pytest.raises(InvalidValue, match="fault 7 is not open"):
            await eve.request("acknowledge", {"fault": 7})
        with pytest.raises(Refused, match="bob is no user of this bridge"):
            await bob.request("ping")
        assert "runs" in await bob.request("stop")  # the safe direction is the broker's to close


async def test_users_for_a_bridge_that_had_none_need_a_restart(site: Site) -> None:
    async with Daemon(load(site.config), file=site.config), site.lab("root") as root:
        text = site.config.read_text()
        site.config.write_text(text[: text.index("[access]")])
        answer = await root.request("reload")
        assert answer == {
            "applied": [],
            "waits": [],
            "restart_needed": ["[access]: taken out; requests have other topics then"],
        }
        assert (await root.request("ping"))["bridge"] == "lab"  # users are proven as before
