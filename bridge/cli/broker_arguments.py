"""Which broker and which bridge on it a command line means, and as whom."""

from __future__ import annotations

import argparse
import getpass
import os
import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridge.client import Lab, Labs, connect, connect_all


def add_broker_arguments(parser: argparse.ArgumentParser, *, all_bridges: bool = False) -> None:
    """`all_bridges`: the command can be for every bridge on the broker."""
    default = os.environ.get("PICOBRIDGE_BROKER", "mqtt://localhost")
    parser.add_argument(
        "--broker", default=default, metavar="URL", help="default $PICOBRIDGE_BROKER, else mqtt://localhost"
    )
    for option, metavar, help in (
        ("user", "NAME", "who asks, where the bridge has users; as in mqtts://NAME@host"),
        ("ca", "FILE", "certificate of who signed the broker's"),
        ("cert", "FILE", "your certificate"),
        ("key", "FILE", "the key of your certificate"),
        ("password-file", "FILE", "its first line is your password"),
    ):
        variable = f"PICOBRIDGE_{option.replace('-', '_').upper()}"
        parser.add_argument(
            f"--{option}", default=os.environ.get(variable, ""), metavar=metavar, help=f"{help}; default ${variable}"
        )
    which: argparse._ActionsContainer = parser.add_mutually_exclusive_group() if all_bridges else parser
    which.add_argument(
        "--bridge",
        default=os.environ.get("PICOBRIDGE_BRIDGE") or None,
        metavar="NAME",
        help="needed only where several bridges share a broker; default $PICOBRIDGE_BRIDGE",
    )
    if all_bridges:
        which.add_argument("--all-bridges", action="store_true", help="every bridge on the broker")
    parser.add_argument("--json", action="store_true", help="print JSON")


def lab_of(args: argparse.Namespace, *, ask_devices: bool = True) -> AbstractAsyncContextManager[Lab]:
    """The bridge that the command line names."""
    return connect(bridge=args.bridge, ask_devices=ask_devices, **_login_of(args))


def labs_of(args: argparse.Namespace, *, ask_devices: bool = True) -> AbstractAsyncContextManager[Labs]:
    """Every bridge on the broker that the command line names."""
    return connect_all(ask_devices=ask_devices, **_login_of(args))


def _login_of(args: argparse.Namespace) -> dict[str, Any]:
    password = ""
    if args.password_file:
        password = Path(args.password_file).read_text(encoding="utf-8").partition("\n")[0].strip()
    return {
        "url": _with_user(args.broker, args.user),
        "name": _login(),
        "ca": args.ca,
        "cert": args.cert,
        "key": args.key,
        "password": password,
    }


def _login() -> str:
    """Who sits there, as the computer knows them: what the audit says where the broker proves nobody."""
    try:
        name = getpass.getuser().lower()
    except OSError:  # no such user, as in a container
        return "cli"
    return re.sub(r"[^a-z0-9_-]", "-", name)[:16] or "cli"


def _with_user(url: str, user: str) -> str:
    """The user of the option stands before one in the URL."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{quote(user, safe='')}@{rest.rpartition('@')[2]}" if user else url
