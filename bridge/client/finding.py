"""Which broker, which bridge on it, and as whom."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from bridge.transfer.messages import CONTRACT, load_object
from bridge.transfer.mqtt import BrokerAddress
from bridge.transfer.topics import Topics, any_status
from drivers.errors import BridgeUnreachable, InvalidValue, PicobridgeError, Refused

from .connection import Connection

#: How long to wait for the first sign of a daemon.
FIND_S = 3.0
#: What a broker retains comes together: when nothing has come for so long, nothing more will.
SETTLED_S = 0.2


@dataclass(frozen=True, slots=True)
class Found:
    """A bridge whose daemon is online. `access` is whether it has users, each of whom asks in her own name; `status` is
    what its daemon says of itself."""

    topics: Topics
    access: bool
    status: Mapping[str, Any]

    def user_for(self, address: BrokerAddress) -> str:
        """Who asks; "" where the bridge has no users. Raises `InvalidValue` if it has, and the address names none."""
        if not self.access:
            return ""
        if not address.user:
            raise InvalidValue(
                f"the bridge of {self.topics.prefix} has users, and the address of the broker names none",
                hint=f"Say who you are: {'mqtts' if address.tls else 'mqtt'}://USER@{address.host}:{address.port}",
            )
        return address.user


def broker_address(
    url: str, *, ca: str | Path | None, cert: str | Path | None, key: str | Path | None, password: str
) -> BrokerAddress:
    """Raises `InvalidValue` for what is no address, for files that cannot be used, and for files without `mqtts`."""
    address = BrokerAddress.parse(url)
    files = {name: Path(file) for name, file in (("ca", ca), ("cert", cert), ("key", key)) if file}
    if files and not address.tls:
        raise InvalidValue(f"{next(iter(files))} is given, and {address} is not encrypted; accepted: mqtts://...")
    if "key" in files and "cert" not in files:
        raise InvalidValue("key is given without cert; accepted: both")
    _check(files)
    return replace(
        address, password=password or address.password, ca=files.get("ca"), cert=files.get("cert"), key=files.get("key")
    )


def _check(files: Mapping[str, Path]) -> None:
    """Load them as the connection will, where it can still be said which one is wrong."""
    try:
        context = ssl.create_default_context()
        what = "ca"
        if "ca" in files:
            context.load_verify_locations(files["ca"])
        what = "cert"
        if "cert" in files:
            context.load_cert_chain(files["cert"], files.get("key"), password="")
    except (OSError, ValueError) as error:  # which an SSL error is too
        raise InvalidValue(
            f"{what} is {str(files[what])!r}, which cannot be used: {error}; accepted: PEM, the key without a password"
        ) from error


async def find(connection: Connection, bridge: str | None, root: str, find_s: float) -> Found:
    """The bridge that is meant. One without a daemon is known by its retained `offline`.

    Raises `BridgeUnreachable`, and `InvalidValue` if several are online and none was named.
    """
    wanted = Topics.of(bridge, root).status if bridge is not None else any_status(root)
    # where the bridge is named its first status decides; else the broker's retained ones come at once, together
    online, offline = await _statuses(connection, wanted, find_s, first=bridge is not None)
    if len(online) == 1:
        return next(iter(online.values()))
    if online:
        raise InvalidValue(
            f"several bridges are online: {_names(online, root)}; accepted: one of them, by name",
            hint="--bridge NAME on the command line, connect(bridge=...) in Python.",
        )
    if offline:
        raise BridgeUnreachable(f"the daemon of {', '.join(sorted(offline))} is offline")
    if bridge is not None:
        others, _ = await _statuses(connection, any_status(root), SETTLED_S, first=False)
        if others:
            raise BridgeUnreachable(
                f"no daemon is {root}/{bridge} on {connection.address}; online are {_names(others, root)}"
            )
    raise BridgeUnreachable(f"no daemon below {root}/ on {connection.address}")


async def _statuses(
    connection: Connection, wanted: str, wait_s: float, *, first: bool
) -> tuple[dict[str, Found], set[str]]:
    """The bridges that are online and those that are offline, by their prefixes, until nothing more comes for a moment;
    `first`: only until one is online."""
    online: dict[str, Found] = {}
    offline: set[str] = set()
    async with connection.listen(wanted) as listener:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s) as limit:
                while not (first and online):
                    await listener.wait()
                    message = listener.take()
                    if message is None:
                        continue
                    prefix = message.topic.removesuffix("/status")
                    try:
                        status = load_object(message.payload)
                    except PicobridgeError:
                        continue
                    if status.get("status") == "online":
                        online[prefix] = found_at(prefix, status)
                        offline.discard(prefix)
                    else:
                        offline.add(prefix)
                    limit.reschedule(asyncio.get_running_loop().time() + SETTLED_S)
    return online, offline


def _names(prefixes: Iterable[str], root: str) -> str:
    return ", ".join(sorted(prefix.removeprefix(f"{root}/") for prefix in prefixes))


def found_at(prefix: str, status: Mapping[str, Any]) -> Found:
    """A bridge whose daemon says this of itself."""
    return Found(Topics(prefix), access=status.get("access") is True, status=status)


def require_same_contract(status: Mapping[str, Any]) -> None:
    """Raises `Refused`, with both versions, if the daemon that says this of itself and this client would misunderstand
    each other."""
    contract, version = status.get("contract"), status.get("version")
    if contract != CONTRACT:
        raise Refused(
            f"the daemon is picobridge {version} with contract {contract}, this client picobridge "
            f"{metadata.version('picobridge')} with contract {CONTRACT}; nothing was asked",
            hint="Install the same picobridge on both sides. Stops are sent all the same.",
            daemon_version=version,
            daemon_contract=contract,
        )
