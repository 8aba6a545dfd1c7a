"""What Mosquitto is told, so that a topic proves who sent what is on it. For version 2.0.11 and newer.

`docs/access.md` says how to use it. The choices that are not plain from their names:

- A user may run several programs at once, so `use_username_as_clientid` stays off: under it her second program would
  throw the first off, and the two would take turns for ever. Nobody can throw the daemon off either: its client id is
  new at each start, long, random, and published nowhere.
- Nothing is kept over a restart. The daemon publishes what is retained again, samples are acknowledged by whoever
  records them, and a request must not outlive the moment for which it was meant.
- Programs that log in with a password have a listener of their own: on the first one Mosquitto takes certificates only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bridge.access.options import Access
from bridge.transfer.topics import Topics
from drivers.errors import ConfigurationError

from .permissions import STOPS

#: How a file of ours begins, which may be written again.
HEADER = "# Written by `picobridge broker-config`; what is changed here is lost when it is written again.\n"

#: Below the prefix: what the daemon says to everybody; and whether its broker is connected with another one.
BROADCAST = ("status", "health", "events", "devices/#", "runs/#", "link")
#: Below the prefix, then a level with the user's name: what the daemon says to one of them.
PERSONAL = ("reply", "replay")

#: The longest packet. A request may have 64 kB, a block of samples too; results of runs are the longest.
PACKET_LIMIT = 4 * 1024 * 1024


def configuration(folder: Path, port: int, passwords: bool) -> str:
    """`mosquitto.conf` with the files in `folder`: certificates on `port`, passwords (if any) on the one after it."""
    lines = [
        "allow_anonymous false",
        f"acl_file {folder / 'acl'}",
        *([f"password_file {folder / 'passwords'}"] if passwords else []),
        "",
        "# no $SYS topics; the ACL would deny them as well",
        "sys_interval 0",
        "",
        "# bytes",
        f"max_packet_size {PACKET_LIMIT}",
        "# for each client: QoS 1 messages under way, and waiting for it (whichever limit comes first)",
        "max_inflight_messages 20",
        "max_queued_messages 10000",
        "max_queued_bytes 64000000",
        "set_tcp_nodelay true",
        "",
        "# nothing is kept over a restart: the daemon publishes again what is retained",
        "persistence false",
        "persistent_client_expiration 1d",
        "",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages true",
        "",
        "# for whoever has a certificate of our CA; its common name is the user",
        *_listener(port, folder),
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid false",
    ]
    if passwords:
        lines += [
            "",
            "# for whoever has a password",
            *_listener(port + 1, folder),
            "require_certificate false",
            "use_username_as_clientid false",
        ]
    return HEADER + "\n".join(lines) + "\n"


def _listener(port: int, folder: Path) -> list[str]:
    """What is a listener's own stands below it: above all of them, it would open another one, on port 1883 and in clear
    text."""
    return [
        f"listener {port}",
        "max_connections 500",
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'broker.pem'}",
        f"keyfile {folder / 'broker.key'}",
        "tls_version tlsv1.2",
    ]


def acl(topics: Topics, access: Access, discovery: str = "", *, page: bool = False) -> str:
    """The ACL file. What is not in it nobody may do. `discovery` is where Home Assistant looks for devices, if it is
    to find them; with a `page` the daemon passes on what it has let through of its users' browsers."""
    prefix = topics.prefix
    lines = ["# everybody, whose name stands for %u: the second level of a request proves its sender"]
    lines += [f"pattern write {topics.request('+', '%u')}"]
    lines += [f"pattern read {prefix}/{kind}/%u/#" for kind in PERSONAL]
    lines += ["", f"user {access.daemon}", f"topic read {prefix}/request/#"]
    lines += [f"topic readwrite {topic}" for topic in (topics.claim, topics.status)]
    lines += [f"topic write {prefix}/{topic}" for topic in BROADCAST if topic != "status"]
    lines += [f"topic write {prefix}/{kind}/#" for kind in PERSONAL]
    lines += [f"topic write {discovery}/device/#"] if discovery else []
    if page:
        lines += ["# for users whom the page has proven by their certificates: it passes on what is theirs"]
        lines += [f"topic read {prefix}/#", f"topic write {topics.request('+', '+')}"]
    for user, role in access.users.items():
        lines += ["", f"# {role}, which is the daemon's to judge", f"user {user}"]
        lines += [f"topic read {prefix}/{topic}" for topic in BROADCAST]
        lines += [f"topic read {discovery}/#"] if discovery else []
        lines += [f"topic write {topics.request(stop)}" for stop in STOPS]
    return HEADER + "\n".join(lines) + "\n"


def write(files: Mapping[Path, str]) -> None:
    """Text by file; the ACL is readable by its owner only.

    Raises `ConfigurationError`, and writes none, if one of them is there and not of our writing.
    """
    for path in files:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADER):
            raise ConfigurationError(
                f"{path} is there, and picobridge did not write it; nothing was written",
                hint="Give --out another folder, or move that file away.",
            )
    for path, text in files.items():
        path.touch(mode=0o600)
        path.chmod(0o644 if path.suffix == ".conf" else 0o600)
        path.write_text(text, encoding="utf-8")
