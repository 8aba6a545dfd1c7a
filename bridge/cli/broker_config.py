"""`picobridge broker-config`: what Mosquitto needs to know so that only its users ask, each in her own name."""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

from bridge.access import mosquitto, mosquitto_bridge
from bridge.access.certificates import make_certificates
from bridge.access.options import Access
from bridge.daemon.config import Config, parse
from bridge.daemon.problems import Problems
from bridge.transfer.mqtt import BrokerAddress, hide_password
from drivers import toml_text
from drivers.errors import ConfigurationError, InvalidValue, PermissionDenied

#: Of [broker]: files that this command is about to make.
_FILES = ("ca", "cert", "key", "password_file")


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "broker-config",
        help="write a Mosquitto configuration for the users of a bridge",
        description="Write mosquitto.conf and an ACL file for the users in [access] of a configuration, and with "
        "--make-certificates a small CA with certificates for the broker, the daemon and each user. With --bridge-to "
        "also what connects this broker with another one; without users that is all (bridge.conf). Starts nothing. "
        "No certificate or key is ever overwritten: those that are missing are made.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--port", type=int, default=8883, metavar="N", help="for certificates (default 8883)")
    parser.add_argument(
        "--passwords", action="store_true", help="also users with a password instead of a certificate, on the next port"
    )
    parser.add_argument(
        "--bridge-to", metavar="URL", help="another broker from which this bridge is to be used too: mqtts://host:8883"
    )
    parser.add_argument("--make-certificates", action="store_true", help="make those that are missing, with openssl")
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="a name or address of the broker's computer"
    )
    parser.add_argument("--days", type=int, default=825, metavar="N", help="how long they are valid (default 825)")
    parser.set_defaults(function=run_broker_config)


async def run_broker_config(args: argparse.Namespace) -> int:
    for name in args.host:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,253}", name):
            raise InvalidValue(f"--host is {name!r}; accepted: a name such as lab-pc.example.org, or an address")
    for option, value, high in (("--port", args.port, 65534), ("--days", args.days, 36500)):
        if not 1 <= value <= high:
            raise InvalidValue(f"{option} is {value}; accepted: 1 to {high}")
    try:
        await asyncio.to_thread(_write, args)
    except PermissionError as error:
        raise PermissionDenied(
            f"{error.filename} cannot be read or written: {error.strerror}",
            operation="broker-config",
            hint=f"Some files are Mosquitto's own once it runs: sudo {sys.argv[0]} broker-config ...",
        ) from error
    return 0


def _write(args: argparse.Namespace) -> None:
    config, page = _load(args.config)
    folder: Path = args.out.resolve()
    access = config.access
    to = _checked_address(args.bridge_to, access) if args.bridge_to else None
    if access is None:
        if to is None:
            raise ConfigurationError(
                f'{args.config}: access is missing; accepted: [access.users.NAME] with role = "operator"'
            )
        folder.mkdir(parents=True, exist_ok=True)
        _write_bridge_only(folder, config, to)
        return
    folder.mkdir(parents=True, exist_ok=True)
    host = config.broker.address.host if config.broker.address is not None else socket.gethostname()
    discovery = config.home_assistant.prefix if config.home_assistant is not None else ""
    texts = [
        mosquitto.configuration(folder, args.port, args.passwords),
        mosquitto.acl(config.topics, access, discovery, page=page is not None),
    ]
    if to is not None:
        link = _link(access)
        texts[0] += "\n" + mosquitto_bridge.connection(config.topics, to, link, folder)
        texts[1] += mosquitto_bridge.acl(config.topics, link)
    files = {folder / "mosquitto.conf": texts[0], folder / "acl": texts[1]}
    mosquitto.write(files)
    made = list(files)
    if args.passwords and not (folder / "passwords").exists():
        (folder / "passwords").touch(mode=0o600)
        made.append(folder / "passwords")
    here = (socket.gethostname(), "localhost", "127.0.0.1", "::1")
    if args.make_certificates:
        made += make_certificates(
            folder,
            authority=f"CA of {config.bridge}",
            daemon=access.daemon,
            users=access.users,
            hosts=[host, *args.host, *here],
            page_hosts=[] if page is None else [*page, *args.host, *here],
            days=args.days,
        )
    for path in made:
        print(f"wrote {path}")
    _tell_next(args, folder, host, access)


def _checked_address(url: str, access: Access | None) -> BrokerAddress:
    to = BrokerAddress.parse(url)
    if access is not None and not to.tls:
        raise InvalidValue(f"--bridge-to is {hide_password(url)!r}; accepted where there are users: mqtts://host:8883")
    if access is None and to.tls:
        raise InvalidValue(
            f"--bridge-to is {hide_password(url)!r}; accepted without users: mqtt://host",
            hint="[access.users.NAME] in the configuration, as docs/access.md has it, for one that is encrypted.",
        )
    if access is not None and _link(access) in access.users:
        raise ConfigurationError(f"access.users has {_link(access)}, which is the broker's own; accepted: another name")
    return to


def _link(access: Access) -> str:
    """Who the connection with the other broker is."""
    return f"{access.daemon}-{mosquitto_bridge.LINK}"


def _write_bridge_only(folder: Path, config: Config, to: BrokerAddress) -> None:
    path = folder / "bridge.conf"
    mosquitto.write({path: mosquitto.HEADER + mosquitto_bridge.connection(config.topics, to)})
    print(f"wrote {path}")
    print("\nNext, on the computer of the broker that the daemon uses:")
    print(f"    sudo cp {path} /etc/mosquitto/conf.d/ && sudo systemctl restart mosquitto")


def _load(path: Path) -> tuple[Config, list[str] | None]:
    """As the daemon does, but for files that are yet to be made. Last the names of the page, None if there is none."""
    problems = Problems(str(path))
    try:
        content = toml_text.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    if isinstance(broker := content.get("broker"), dict):
        content["broker"] = {key: value for key, value in broker.items() if key not in _FILES}
    page = content.pop("web", None)
    config = parse(content, problems, path.parent)
    problems.raise_if_any()
    return config, _names_of(page)


def _names_of(page: Any) -> list[str] | None:
    """What [web] says; the daemon looks at it more closely."""
    if not isinstance(page, dict) or page.get("enabled") is False:
        return None
    names = page.get("names", [])
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _tell_next(args: argparse.Namespace, folder: Path, host: str, access: Access) -> None:
    user = next(iter(access.users))
    own = ["acl", "broker.key", *(["passwords"] if args.passwords else [])]
    own += ["daemon.key"] if args.bridge_to else []
    print("\nNext:")
    if not (folder / "broker.pem").exists():
        print(
            "- Put there: ca.pem, who signs; broker.pem and broker.key, the broker's own (or add --make-certificates)."
        )
    print("- Let Mosquitto, and nobody else, read what is its own, and start it:")
    print(f"    sudo chown mosquitto: {' '.join(str(folder / name) for name in own)}")
    print(f"    sudo cp {folder / 'mosquitto.conf'} /etc/mosquitto/mosquitto.conf && sudo systemctl restart mosquitto")
    print(f"- In {args.config}, with the daemon's certificate (common name {access.daemon}):")
    for line in (
        "[broker]",
        f'url = "mqtts://{host}:{args.port}"',
        *(
            f'{key} = "{folder / name}"'
            for key, name in (("ca", "ca.pem"), ("cert", "daemon.pem"), ("key", "daemon.key"))
        ),
    ):
        print(f"    {line}")
    print("- Give each user ca.pem and her own two files, by a way that nobody else reads. She asks:")
    asking = f"    picobridge devices --broker mqtts://{user}@{host}:"
    print(f"{asking}{args.port} --ca ca.pem --cert {user}.pem --key {user}.key")
    if args.passwords:
        print("- Or give her a password, to be typed twice; the broker reads the file again after the second line:")
        print(f"    sudo mosquitto_passwd {folder / 'passwords'} {user}")
        print("    sudo systemctl reload mosquitto")
        print(f"{asking}{args.port + 1} --ca ca.pem --password-file FILE")
    if (folder / "ca.key").exists():
        print(f"- Keep {folder / 'ca.key'} where no network reaches it: whoever has it can be any user.")
