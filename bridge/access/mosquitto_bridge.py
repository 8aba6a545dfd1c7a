"""What a lab PC's Mosquitto is told, so that a bridge can be used from another broker. For version 2.0.11 and newer.

`docs/several-lab-pcs.md` says how to use it. The choices that are not plain from their names:

- Each topic goes one way: what the daemon says goes out, requests come in. So nothing can go round in a circle, but for
  `claim`, by which daemons of one name find each other.
- What waits while the other broker is away is kept on this side only (`local_cleansession`): events and samples are
  late, then, but a request that could not be delivered is gone, as it is without a second broker.
- MQTT 5 also between the brokers: on 3.1.1, which is the default, requests would lose their properties.
- `link` tells on both sides whether the connection stands: the retained status of a bridge cannot know that.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from bridge.transfer.mqtt import BrokerAddress
from bridge.transfer.topics import Topics

from .mosquitto import BROADCAST, PERSONAL

#: The bridge's own account here is the daemon's with this behind it.
LINK = "link"


def connection(topics: Topics, to: BrokerAddress, local_user: str = "", files: Path | None = None) -> str:
    """The lines that connect this broker with another one. `local_user` is who the connection is here, where there are
    users; in `files` are ca.pem, daemon.pem and daemon.key, by which it proves itself there."""
    prefix = f"{topics.prefix}/"
    lines = [
        f"# the bridge {topics.prefix}, for whoever is at {to}",
        f"connection {LINK}-{topics.prefix.replace('/', '-')}",
        f"address {to.host}:{to.port}",
        f"remote_clientid {LINK}-{secrets.token_hex(16)}",
        *([f"local_username {local_user}"] if local_user else []),
        *([f"remote_username {to.user}"] if to.user and files is None else []),
        *([f"remote_password {to.password}"] if to.password and files is None else []),
        "bridge_protocol_version mqttv50",
        "cleansession true",
        "local_cleansession false",
        "start_type automatic",
        "restart_timeout 1 10",
        "keepalive_interval 10",
        f"notification_topic {prefix}{LINK}",
    ]
    if to.tls and files is not None:
        lines += [
            f"bridge_cafile {files / 'ca.pem'}",
            f"bridge_certfile {files / 'daemon.pem'}",
            f"bridge_keyfile {files / 'daemon.key'}",
        ]
    out = [topic for topic in BROADCAST if topic != LINK]
    lines += [f"topic {topic} out 1 {prefix} {prefix}" for topic in (*out, *(f"{kind}/#" for kind in PERSONAL))]
    lines += [f"topic request/# in 1 {prefix} {prefix}", f"topic claim both 1 {prefix} {prefix}"]
    return "\n".join(lines) + "\n"


def acl(topics: Topics, local_user: str) -> str:
    """What that account may do here."""
    prefix = topics.prefix
    lines = ["", "# the connection with the other broker, which has judged who asks", f"user {local_user}"]
    lines += [f"topic read {prefix}/{topic}" for topic in BROADCAST if topic != LINK]
    lines += [f"topic read {prefix}/{kind}/#" for kind in PERSONAL]
    lines += [f"topic write {prefix}/request/#", f"topic readwrite {topics.claim}", f"topic write {prefix}/{LINK}"]
    return "\n".join(lines) + "\n"
