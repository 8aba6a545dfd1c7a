"""Telling systemd where we are (sd_notify(3)): one datagram to the socket that it names, nothing if it names none."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """`state` is such as "READY=1" or "STOPPING=1"."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)
