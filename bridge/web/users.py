"""Who asks: the common name of the certificate with which a browser came, on a bridge that has users."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from bridge.access.options import Access
from bridge.daemon.web_config import WebConfig
from drivers.errors import ConfigurationError


class Users:
    """`access` gives the users as they are now, None on a bridge without."""

    def __init__(self, access: Callable[[], Access | None]) -> None:
        self._access = access

    def of(self, request: web.Request) -> str:
        """ "" on a bridge without users. Raises `HTTPForbidden` for whoever is none of them."""
        access = self._access()
        if access is None:
            return ""
        name = _common_name(request)
        if name not in access.users:
            raise web.HTTPForbidden(reason="no user of this bridge; users are listed in its [access.users]")
        return name

    def role(self, user: str) -> str | None:
        """Of somebody who is a user; None on a bridge without."""
        access = self._access()
        return None if access is None or user not in access.users else str(access.users[user])


def tls_context(config: WebConfig) -> ssl.SSLContext | None:
    """For a server that lets in certificates of `ca` only; None without one. Raises `ConfigurationError`."""
    if config.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(config.cert, config.key, password="")
        _load_authority(context, config.ca)
    except (OSError, ValueError) as error:  # an SSLError is one
        raise ConfigurationError(f"the page's certificates cannot be used: {error}") from error
    return context


def _load_authority(context: ssl.SSLContext, ca: Path | None) -> None:
    if ca is None:
        raise ValueError("there is no ca, so nobody could be let in")
    context.load_verify_locations(ca)


def _common_name(request: web.Request) -> str:
    """ "" for a certificate with none or several, and for a connection without."""
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return str(names[0]) if len(names) == 1 else ""
