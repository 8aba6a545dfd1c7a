"""The systemd unit for this installation and this configuration."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path

from bridge.daemon.config import Config
from drivers.errors import Refused
from drivers.transports.address import Address

from .shipped import UNIT, shipped

#: as the shipped unit has them
_PROGRAM = "/opt/picobridge/bin/picobridge"
_CONFIG = "/etc/picobridge/lab.toml"
#: folders that the unit's `ProtectHome=yes` hides
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]+")
_ALLOWED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fe80::/10", "fc00::/7"),
    )
)


def service_unit(program: Path, config_path: Path, config: Config | None) -> str:
    """`program` is the picobridge command, `config_path` where the configuration will be.

    Raises `Refused` where the service could not reach its own program or its data.
    """
    _check_visible(program, "the picobridge that you run")
    lines = []
    if config is not None:
        for folder in _folders(config):
            _check_visible(folder, "the folder for its data")
            lines.append(f"ReadWritePaths=-{folder}")
        if hosts := sorted(_outside(config)):
            # what has a name only, systemd cannot tell from others
            allowed = " ".join(hosts) if all(_literal(host) for host in hosts) else "any"
            lines += ["# beyond private networks, or known by name: " + ", ".join(hosts), f"IPAddressAllow={allowed}"]
    text = shipped(UNIT).replace(_PROGRAM, str(program)).replace(_CONFIG, str(config_path))
    if not lines:
        return text
    return text.replace("\n[Install]\n", "\n" + "\n".join(["# for this configuration", *lines, "", "[Install]", ""]))


def _check_visible(path: Path, what: str) -> None:
    if not _PLAIN.fullmatch(str(path)):
        raise Refused(f"{what} is in {str(path)!r}; accepted in a unit: letters, digits and -_.+/ only")
    for hidden in _HIDDEN:
        if path.is_relative_to(hidden):
            raise Refused(
                f"{what} is in {path}, and a service may not look into {hidden}",
                hint="For the program: sudo python3 -m venv /opt/picobridge && sudo /opt/picobridge/bin/pip install "
                "<the folder of picobridge>, then sudo /opt/picobridge/bin/picobridge install-host ... For data: set "
                "state_dir and data_dir to a folder elsewhere, or leave them out.",
            )


def _folders(config: Config) -> list[Path]:
    """Folders for data other than systemd's StateDirectory, outermost first."""
    wanted = {config.state_dir, *({config.data_dir} if config.data_dir is not None else ())}
    own = Path("/var/lib/picobridge")
    default = Path.home() / ".local" / "state"  # where no state_dir is set; the unit sets STATE_DIRECTORY
    found = [path for path in wanted if not path.is_relative_to(own) and not path.is_relative_to(default)]
    return sorted(path for path in found if not any(path != other and path.is_relative_to(other) for other in found))


def _outside(config: Config) -> set[str]:
    hosts = set(_instrument_hosts(device.address for device in config.devices.values()))
    if config.broker.address is not None:
        hosts.add(config.broker.address.host)
    return {host for host in hosts if host not in ("", "localhost") and not _private(host)}


def _instrument_hosts(addresses: Iterable[str]) -> Iterable[str]:
    for text in addresses:
        address = Address.parse(text)
        if address.kind == "tcp":
            yield address.target.rpartition(":")[0].strip("[]")
        elif address.kind == "visa" and address.target.upper().startswith(("TCPIP", "VICP")):
            parts = address.target.split("::")
            yield parts[1] if len(parts) > 1 else ""


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _private(host: str) -> bool:
    if not _literal(host):
        return False
    address = ipaddress.ip_address(host)
    return any(address in network for network in _ALLOWED if network.version == address.version)
