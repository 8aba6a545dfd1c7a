"""`picobridge make-safe`: the instruments of a configuration to their safe state, with no daemon and no broker.

systemd runs it after the daemon has died (`ExecStopPost`); a person may at any time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.daemon.logs import configure, prefix
from bridge.daemon.systemd import under_journal
from drivers import registry, toml_text
from drivers.errors import (
    ConfigurationError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    PermissionDenied,
    PicobridgeError,
    PortBusy,
    WrongDevice,
)
from drivers.interfaces import Device

from .output import print_json

#: Pause before an instrument that did not answer is tried again: the dead daemon's last bytes may still be on the wire.
RETRY_S = 0.5
#: How long one that is not there is looked for: a terminal server takes a moment to see that its last client has died.
GONE_S = 3.0
_BUSY_HINT = "Is the daemon still running? Then `picobridge stop` makes everything safe through it."


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    safe = commands.add_parser(
        "make-safe",
        help="every instrument of a configuration to its safe state, without a daemon",
        description="Open each instrument of a configuration, switch its source off and stop its motion, verify that, "
        "and let it go. Needs no daemon and no broker. Nothing is retracted, homed or tilted.",
        epilog="Exit status 0 only if every instrument is proven safe. While a daemon runs, use `picobridge stop`.",
    )
    safe.add_argument("config", type=Path, metavar="CONFIG.toml")
    safe.add_argument("--timeout", type=float, default=20.0, metavar="SECONDS", help="for each (default 20)")
    safe.add_argument(
        "--after-crash", action="store_true", help="do nothing if systemd says that the daemon ended in order"
    )
    safe.add_argument("--json", action="store_true", help="print JSON")
    safe.set_defaults(function=run_make_safe, acts=True)


async def run_make_safe(args: argparse.Namespace) -> int:
    if not 0 < args.timeout < float("inf"):
        raise InvalidValue(f"--timeout is {args.timeout:g}; accepted: seconds above 0")
    if args.after_crash and os.environ.get("SERVICE_RESULT") == "success":
        return 0  # the daemon has made everything safe itself, and proven it
    configure(verbose=False)  # what drivers have to say, such as that a source was on
    entries = _entries(args.config)
    outcomes = dict(
        zip(
            entries,
            await asyncio.gather(*(_make_safe(name, entry, args.timeout) for name, entry in entries.items())),
            strict=True,
        )
    )
    unsafe = [name for name, outcome in outcomes.items() if isinstance(outcome, PicobridgeError)]
    if args.json:
        print_json(
            {
                "devices": {
                    name: outcome.to_dict() if isinstance(outcome, PicobridgeError) else "safe"
                    for name, outcome in outcomes.items()
                },
                "safe": not unsafe,
            }
        )
        return 1 if unsafe else 0
    for name, outcome in outcomes.items():
        if isinstance(outcome, PicobridgeError):
            _say(logging.CRITICAL, f"{name:20} NOT proven safe: {type(outcome).__name__}: {outcome}", outcome.hint)
        else:
            _say(logging.INFO, f"{name:20} safe: {outcome}")
    return 1 if unsafe else 0


def _entries(path: Path) -> Mapping[str, Any]:
    """The devices as the file has them. What else is wrong with the file must not keep a source on."""
    try:
        devices = toml_text.loads(path.read_text(encoding="utf-8")).get("devices", {})
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    if not isinstance(devices, dict):
        raise ConfigurationError(f"{path}: devices is {devices!r:.100}; accepted: tables such as [devices.pstat]")
    return devices


async def _make_safe(name: str, entry: Any, timeout_s: float) -> str | PicobridgeError:
    """Who it is that is proven safe; or why it is not."""
    try:
        device = _device(name, entry)
    except PicobridgeError as error:
        return error
    last: PicobridgeError = DeviceTimeout(f"no safe state within {timeout_s:g} s", device=name)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await _connect_and_close(device, entry.get("serial", ""))
                except (WrongDevice, PermissionDenied, InvalidValue) as error:
                    return _annotated(error, name)
                except PicobridgeError as error:
                    last = _annotated(error, name)
                    if isinstance(error, DeviceLost) and loop.time() > began_s + GONE_S:
                        return last  # not there: trying for longer would only keep the daemon from starting
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        return last
    except Exception as error:  # of a driver's own making; the other instruments go on being made safe
        return _annotated(PicobridgeError(f"internal error: {error!r}"), name)


def _device(name: str, entry: Any) -> Device:
    if not isinstance(entry, dict):
        raise InvalidValue(f"devices.{name} is {entry!r:.100}; accepted: a table", device=name)
    driver, address, options = entry.get("driver"), entry.get("address"), entry.get("options", {})
    for key, value in (("driver", driver), ("address", address)):
        if not isinstance(value, str):
            raise InvalidValue(f"devices.{name}.{key} is {value!r}; accepted: text", device=name)
    if not isinstance(options, dict):
        raise InvalidValue(f"devices.{name}.options is {options!r:.100}; accepted: a table", device=name)
    try:
        return registry.create(str(driver), str(address), options, device=name)
    except PicobridgeError as error:
        raise _annotated(error, name) from None


async def _connect_and_close(device: Device, serial: str) -> str:
    """Connecting makes safe and verifies it."""
    identity = await device.connect()
    if serial and identity.serial != serial:
        await device.transport.close()
        raise WrongDevice(f"serial number {identity.serial or '(none)'} answers where {serial} is configured")
    await device.close()
    return " ".join(part for part in (identity.make, identity.model, identity.serial) if part)


def _annotated(error: PicobridgeError, name: str) -> PicobridgeError:
    error.annotate(device=name, operation="make_safe")
    if isinstance(error, PortBusy):
        error.hint = _BUSY_HINT
    return error


def _say(level: int, text: str, hint: str = "") -> None:
    stream = sys.stdout if level < logging.WARNING else sys.stderr
    mark = ""
    with suppress(OSError, ValueError):  # a stream without a descriptor goes to no journal
        mark = prefix(level) if under_journal(stream.fileno()) else ""
    print(f"{mark}{text}", file=stream, flush=True)
    if hint:
        print(f"{mark}  {hint}", file=stream, flush=True)
