"""Where the page is served: the table [web] of the configuration. `bridge.web` serves it.

    [web]
    enabled = true                      # the default
    host = "127.0.0.1"                  # another one only with [access] and the three files below
    port = 8765
    names = ["lab-pc.example.org"]      # under which the page is asked for, beside `host` and localhost
    cert = "broker/web.pem"             # HTTPS: the server's own certificate and key, and who signs those of the users
    key = "broker/web.key"
    ca = "broker/ca.pem"

Without the table the page is served on this computer, wherever the broker lets everybody in as well.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from bridge.access.options import Access
from bridge.transfer.mqtt import BrokerAddress

from .problems import Table

DEFAULT_PORT = 8765
LOOPBACK = "127.0.0.1"

_KEYS = ("enabled", "host", "port", "names", "cert", "key", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """`port` is None for the default one, which may be taken; 0 takes a free one. `cert`, `key` and `ca` come together
    or not at all."""

    host: str = LOOPBACK
    port: int | None = None
    names: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def tls(self) -> bool:
        return self.cert is not None


def parse_web(top: Table, folder: Path, broker: BrokerAddress | None, access: Access | None) -> WebConfig | None:
    """None if the page is not to be served. What is wrong goes to the problems of `top`."""
    table = top.table("web", _KEYS)
    enabled = table.boolean("enabled", True)
    config = WebConfig(
        host=_host(table),
        port=table.integer("port", DEFAULT_PORT, 0, 65535) if "port" in table else None,
        names=_names(table),
        cert=table.file("cert", folder),
        key=table.file("key", folder),
        ca=table.file("ca", folder),
    )
    if "web" not in top:
        return None if _asks_who(broker) or access is not None else config
    if not enabled:
        return None
    _check_files(table, config)
    if access is None and _asks_who(broker) and "enabled" not in table:
        table.problem(
            "enabled",
            "is missing: through the page anybody on this computer would ask with the daemon's own rights; "
            "accepted: enabled = true if that is meant, or [access] with users",
        )
    if access is not None and not config.tls:
        table.problem(
            "cert", "is missing: a bridge with users knows them by their certificates; accepted: cert, key, ca"
        )
    if not is_loopback(config.host) and (access is None or not config.tls):
        table.problem(
            "host",
            f"is {config.host!r}, which other computers reach; accepted: {LOOPBACK}, or [access] with users, and cert, "
            "key and ca, so that nobody comes in who is none of them",
        )
    elif _is_any(config.host) and not config.names:
        table.problem("names", f"is missing beside host = {config.host!r}; accepted: the names that the page has")
    return config


def _is_any(host: str) -> bool:
    """Whether it stands for all addresses of this computer, so that nobody knows yet how the page is asked for."""
    return host != "localhost" and ipaddress.ip_address(host).is_unspecified


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _asks_who(broker: BrokerAddress | None) -> bool:
    """Whether the broker lets in only whom it knows: a page would pass on the daemon's own right to anybody here."""
    return broker is not None and bool(broker.user or broker.password or broker.cert)


def _host(table: Table) -> str:
    host = table.text("host", LOOPBACK)
    if host == "localhost":
        return host
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        table.problem(
            "host", f"is {host!r}; accepted: an address of this computer, such as {LOOPBACK}, or 0.0.0.0 for all"
        )
        return LOOPBACK


def _names(table: Table) -> tuple[str, ...]:
    what = "names and addresses, without ports"
    names = table.texts("names", what)
    if not all(re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", name) for name in names):
        table.problem("names", f"is {list(names)!r:.100}; accepted: a list of {what}")
        return ()
    return tuple(name.lower() for name in names)


def _check_files(table: Table, config: WebConfig) -> None:
    """Load them as the server will: a wrong file is told now."""
    files = {"cert": config.cert, "key": config.key, "ca": config.ca}
    missing = [key for key, file in files.items() if file is None]
    if missing and len(missing) < len(files):
        given = ", ".join(key for key in files if key not in missing)
        table.problem(missing[0], f"is missing beside {given}; accepted: all of cert, key, ca, or none")
        return
    if config.cert is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.cert, config.key, password="")
    except (ssl.SSLError, ValueError) as error:
        accepted = "accepted: PEM, the key without a password"
        table.problem("cert", f"is {config.cert.name!r}, which cannot be used with its key: {error}; {accepted}")
    try:
        context.load_verify_locations(config.ca)
    except ssl.SSLError as error:
        table.problem("ca", f"holds no certificate: {error}; accepted: PEM")
