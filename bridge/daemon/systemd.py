"""Telling systemd where we are (sd_notify(3)): one datagram to the socket that it names, nothing if it names none."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

LOG = logging.getLogger("picobridge.systemd")


def notify(state: str) -> None:
    """`state` is such as "READY=1" or "STOPPING=1"; several are separated by line ends.

    Nobody listening is logged and no more: what is told next may be heard, and a silent daemon is ended anyway.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError as error:
            LOG.warning("systemd was not told %r: %s", state, error)


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """After how long without "WATCHDOG=1" systemd ends this process (sd_watchdog_enabled(3)); None: it does not."""
    pid, text = environment.get("WATCHDOG_PID", ""), environment.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None  # meant for another process, which passed its environment on
    return int(text) / 1e6 if text.isdecimal() and int(text) > 0 else None


def under_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to `descriptor` goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, colon, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    if not colon:
        return False
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return (str(status.st_dev), str(status.st_ino)) == (device, inode)
