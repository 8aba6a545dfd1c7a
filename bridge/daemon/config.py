"""The configuration of a daemon: a TOML file, checked to the last key before any hardware is touched.

    version = 1                         # of this format; the default

    [bridge]
    name = "lab"                        # topics begin with picobridge/lab
    prefix = "picobridge/lab"           # if they are to begin otherwise
    state_dir = "/var/lib/picobridge"   # default: $STATE_DIRECTORY, or ~/.local/state/picobridge/<name>
    queue_mb = 64                       # samples of a device that wait for a broker, in 10^6 bytes
    record = true                       # every run into a folder of its own, below
    data_dir = "/data/runs"             # default: runs in state_dir
    min_free_mb = 100                   # a run stops rather than leave less on that disk, and starts with twice as much
    exports = true                      # at a run's end Parquet and CSV of its samples, in a process of its own
    reports = true                      # and its report with pictures
    procedures = ["my_rest.py"]         # files with procedures of one's own, see docs/adding-a-procedure.md

    [broker]
    url = "embedded"                    # or mqtt://host:1883, mqtts://host:8883
    port = 1883                         # of the embedded broker; 0: any that is free
    user = "daemon"                     # the daemon's account on another one
    password_file = "broker.password"   # a file with the password of that user
    password = "..."                    # or the password itself
    ca = "ca.pem"                       # mqtts: the certificate of who signed the broker's
    cert = "daemon.pem"                 # mqtts: our own certificate
    key = "daemon.key"                  # and its key, without a password
    version = "auto"                    # MQTT "5", "3.1.1", or "auto"

    [access]                            # who may do what: docs/access.md; needs a broker that proves who asks
    daemon = "daemon"                   # the daemon's account on the broker; requests_per_s = 50, burst = 200 of a user
    users.alice.role = "operator"       # observer, operator, administrator

    [spool]                             # samples on disk, for who missed some: bridge/daemon/spool_config.py
    keep = "7 days"

    [interlocks]                        # what may move or be switched on, and when: docs/safety.md
    vacuum = "required"

    [metrics]                           # for Prometheus, over HTTP
    port = 9464                         # absent: no figures; 0: any that is free
    address = "127.0.0.1"               # where it listens

    [web]                               # the page, see bridge/daemon/web_config.py
    port = 8765                         # enabled = false: none

    [home_assistant]
    discovery = true                    # Home Assistant finds the devices by itself: docs/tools.md; default false
    prefix = "homeassistant"            # as in its own configuration

    [devices.pstat]
    driver = "keithley-24xx"            # see `picobridge drivers`
    address = "visa:TCPIP::192.168.0.5::5025::SOCKET"   # the wire, and where on it
    serial = "4012345"                  # optional: any other device is refused
    calibration = "2026-03-01, certificate 4711, Acme lab"    # optional: into every record as it is
    options = { }                       # the driver's own

    [watch]                             # the health watch of every run; `picobridge cycle --watch short=mark` for one
    short = "stop"                      # off, mark, pause (a run that cannot is stopped), stop
    partial_short = "mark"
    contact_lost = "stop"
    intermittent = "mark"
    intermittent_often = "stop"         # more than intermittent_per_minute = 3
    overload = "mark"
    overload_stays = "stop"             # for overload_stays_s = 10
    drift = "mark"                      # by more than drift_tolerance = 0.2 of the current
    window = "stop"                     # window_low_v, window_high_v: default 0.2 V below, 0.1 V above the procedure's
    stray_f = 100e-12                   # of the lead, where the procedure says none; all options: docs/health-watch.md
    enabled = true

File names are relative to the file they stand in.
"""

from __future__ import annotations

import os
import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bridge.access.options import Access, parse_access
from bridge.procedures import user_files
from bridge.procedures.description import Procedure
from bridge.safety.default_rules import DEFAULT_RULES
from bridge.safety.interlock_options import InterlockOptions, parse_interlocks
from bridge.transfer.mqtt import BrokerAddress
from bridge.transfer.topics import DEFAULT_ROOT, Topics, checked_name, checked_prefix
from drivers import registry, toml_text
from drivers.errors import ConfigurationError, InvalidValue
from drivers.paths import expanded

from .config_versions import upgrade
from .problems import Problems, Table
from .spool_config import SpoolConfig, parse_spool
from .spool_faults import OF_THE_SPOOL
from .watch_options import WatchOptions, parse_watch
from .web_config import WebConfig, parse_web

T = TypeVar("T")

EMBEDDED = "embedded"
_BRIDGE = (
    *("name", "prefix", "state_dir", "queue_mb", "record", "data_dir", "min_free_mb", "exports", "reports"),
    "procedures",
)


_TABLES = (
    *("bridge", "broker", "access", "spool", "interlocks", "metrics", "web", "home_assistant", "devices", "watch"),
    "hil",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """One device. `serial`, if given, is the only serial number that is accepted. `options` are as in the file."""

    name: str
    driver: str
    address: str
    options: Mapping[str, Any] = field(default_factory=dict)
    serial: str = ""
    calibration: str = ""
    """What a person knows of it, for the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """`address` is None for the embedded broker, which then listens on `port` (0: any that is free)."""

    address: BrokerAddress | None = None
    port: int = 1883


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where Prometheus finds the daemon's figures. Port 0 takes a free one."""

    port: int
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantConfig:
    """Below which topic Home Assistant looks for devices."""

    prefix: str = "homeassistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A checked configuration. Programs (the demo, tests) may also build one without a file."""

    bridge: str = "lab"
    prefix: str = ""
    state_dir: Path
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    devices: Mapping[str, DeviceConfig] = field(default_factory=dict)
    queue_bytes: int = 64_000_000
    data_dir: Path | None = None
    """Where runs are recorded; None: they are not."""
    min_free_bytes: int = 100_000_000
    exports: bool = True
    reports: bool = False
    watch: WatchOptions = field(default_factory=WatchOptions)
    access: Access | None = None
    """Without it everybody whom the broker lets in may do everything."""
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    interlocks: InterlockOptions = field(default_factory=InterlockOptions)
    metrics: MetricsConfig | None = None
    web: WebConfig | None = None
    """Where `picobridge run` serves the page; None: nowhere."""
    home_assistant: HomeAssistantConfig | None = None
    procedures: tuple[Procedure, ...] = ()
    """The user's own, beside those that picobridge has."""

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix or f"{DEFAULT_ROOT}/{self.bridge}")


def load(path: Path) -> Config:
    """Read and check a file; no hardware is touched and no connection made.

    Raises `ConfigurationError` with everything that is wrong, a line each, naming file, key, value and what is accepted
    (`detail["problems"]` has the lines).
    """
    problems = Problems(str(path))
    try:
        content = toml_text.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", problems=[str(error)]) from error
    config = parse(upgrade(content, str(path)), problems, path.parent)
    problems.raise_if_any()
    return config


def parse(content: Mapping[str, Any], problems: Problems, folder: Path, *, table: type[Table] = Table) -> Config:
    """As `load`, for what a file says; what is wrong goes to `problems`, and the result is worth nothing then.

    `table` is what reads each table: who describes the configuration takes down what is asked of it.
    """
    # [hil.<device>] holds what `make hil` may move or energise; it is that command's to read
    top = table(problems, "", content, _TABLES)
    bridge = top.table("bridge", _BRIDGE)
    name = bridge.checked("name", "lab", lambda value: checked_name(value, "name"))
    prefix = bridge.checked("prefix", "", lambda value: checked_prefix(value) if value != "" else "")
    queue_mb = bridge.integer("queue_mb", 64, 1, 100_000)
    state_path = bridge.path("state_dir", folder) or _state_dir(name)
    record = bridge.boolean("record", True)
    data_path = bridge.path("data_dir", folder) or state_path / "runs"
    broker = _broker(top, folder)
    devices_table = top.table("devices", None)
    devices = {key: _device(devices_table, key) for key in devices_table}
    _check_addresses(problems, devices)
    access = _access(top)
    return Config(
        bridge=name,
        prefix=prefix,
        state_dir=state_path,
        broker=broker,
        devices=devices,
        queue_bytes=queue_mb * 1_000_000,
        data_dir=data_path if record else None,
        min_free_bytes=bridge.integer("min_free_mb", 100, 1, 10_000_000) * 1_000_000,
        exports=bridge.boolean("exports", True),
        reports=bridge.boolean("reports", True),
        watch=_watch(top),
        access=access,
        spool=_parsed(top, "spool", parse_spool, SpoolConfig()),
        interlocks=_interlocks(top, devices),
        metrics=_metrics(top),
        web=parse_web(top, folder, broker.address, access),
        home_assistant=_home_assistant(top),
        procedures=_procedures(bridge, folder),
    )


def _state_dir(name: str) -> Path:
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    return Path.home() / ".local" / "state" / "picobridge" / name


def _procedures(bridge: Table, folder: Path) -> tuple[Procedure, ...]:
    """Of the user's files, which are executed."""
    files = bridge.texts("procedures", "file names")
    try:
        return tuple(user_files.load_all([expanded(file, folder) for file in files]))
    except InvalidValue as error:
        bridge.problem("procedures", f"has {error.message}")
        return ()


def _watch(top: Table) -> WatchOptions:
    table = top.table("watch", None)
    wrong = table.unknown(WatchOptions)
    for key, value in table.values.items():
        try:
            parse_watch({key: value})
        except InvalidValue as error:
            if "is not known" in error.message:
                continue  # reported already
            wrong = True
            table.problem(key, f"is {error.message.partition(' is ')[2]}")
    try:
        return WatchOptions() if wrong else parse_watch(table.values)
    except InvalidValue as error:
        table.problem("window_low_v", f"is {error.message.partition(' is ')[2]}")
        return WatchOptions()


def _access(top: Table) -> Access | None:
    if "access" not in top:
        return None
    broker = top.values.get("broker", {})
    if isinstance(broker, dict) and broker.get("url", EMBEDDED) == EMBEDDED:
        top.problem(
            "access",
            "needs a broker that proves who sends; the embedded one, which anybody on this computer may use, cannot; "
            'accepted: [broker] url = "mqtts://...", with what `picobridge broker-config` writes for Mosquitto',
        )
    return parse_access(top.values["access"], lambda key, text: top.problem(f"access.{key}" if key else "access", text))


def _interlocks(top: Table, devices: Mapping[str, DeviceConfig]) -> InterlockOptions:
    known = {driver.name: driver for driver in registry.DRIVERS}
    interfaces = {
        name: registry.driver_class(device.driver).interface
        for name, device in devices.items()
        if device.driver in known
    }

    def parse(values: Any) -> InterlockOptions:
        return parse_interlocks(values, interfaces, DEFAULT_RULES)

    return _parsed(top, "interlocks", parse, InterlockOptions())


def _metrics(top: Table) -> MetricsConfig | None:
    table = top.table("metrics", ("port", "address"))
    if "port" not in table:
        return None
    return MetricsConfig(port=table.integer("port", 0, 0, 65535), address=table.text("address", "127.0.0.1"))


def _home_assistant(top: Table) -> HomeAssistantConfig | None:
    table = top.table("home_assistant", ("discovery", "prefix"))
    prefix = table.checked("prefix", HomeAssistantConfig().prefix, checked_prefix)
    return HomeAssistantConfig(prefix=prefix) if table.boolean("discovery", False) else None


def _parsed(top: Table, key: str, parse: Callable[[Any], T], default: T) -> T:
    """A table through a function that raises `InvalidValue` naming what is wrong in it."""
    if key not in top:
        return default
    try:
        return parse(top.values[key])
    except InvalidValue as error:
        blamed = re.match(r"([\w.-]+) ((?:is|has) .*)", error.message, re.DOTALL)
        if blamed is None:
            top.problem(key, f"has a mistake: {error.message}")
        else:
            top.problem(f"{key}.{blamed[1]}", blamed[2])
        return default


_ELSEWHERE = ("user", "password", "password_file", "ca", "cert", "key", "version")


def _broker(top: Table, folder: Path) -> BrokerConfig:
    table = top.table("broker", ("url", "port", *_ELSEWHERE))
    url = table.text("url", EMBEDDED)
    port = table.integer("port", 1883, 0, 65535)
    if url == EMBEDDED:
        for key in _ELSEWHERE:
            if key in table:
                table.problem(key, "is for a broker with a url; the embedded one takes none")
        return BrokerConfig(port=port)
    if "port" in table:
        table.problem("port", "is for the embedded broker; accepted: the port in the url")
    address: BrokerAddress | None = None
    try:
        address = BrokerAddress.parse(url)
    except InvalidValue as error:
        table.problem("url", f"is no address of a broker: {error.hint}")
    password = table.text("password", "")
    if password_file := table.file("password_file", folder):
        if password:
            table.problem("password_file", "is given beside password; accepted: one of the two")
        password = password_file.read_text(encoding="utf-8").strip()
    ca, cert, key_file = (table.file(key, folder) for key in ("ca", "cert", "key"))
    version = table.choice("version", "auto", ("auto", "5", "3.1.1"))
    user = table.text("user", "")
    if address is None:
        return BrokerConfig()
    for key, file in (("ca", ca), ("cert", cert), ("key", key_file)):
        if file is not None and not address.tls:
            table.problem(key, "is for an mqtts:// broker")
    if key_file is not None and cert is None:
        table.problem("key", "is given without cert")
    _check_certificates(table, ca, cert, key_file)
    return BrokerConfig(
        address=replace(
            address,
            user=user or address.user,
            password=password or address.password,
            version=version,
            ca=ca,
            cert=cert,
            key=key_file,
        )
    )


def _check_certificates(table: Table, ca: Path | None, cert: Path | None, key: Path | None) -> None:
    """Load them as the connection will: a wrong file is told now, not when nobody looks."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError as error:
            table.problem("ca", f"is {ca.name!r}, which holds no certificate: {error}; accepted: PEM")
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password="")  # an encrypted key must not ask for it on a terminal
        except (ssl.SSLError, ValueError) as error:
            accepted = "accepted: PEM, the key without a password"
            table.problem("cert", f"is {cert.name!r}, which cannot be used with its key: {error}; {accepted}")


def _device(devices: Table, name: str) -> DeviceConfig:
    try:
        checked_name(name, "the name of a device")
    except InvalidValue as error:
        devices.problem(name, f"has a name that cannot be a topic's: {error.message}")
    table = devices.table(name, ("driver", "address", "serial", "calibration", "options"))
    if name == OF_THE_SPOOL:
        devices.problem(name, "is what faults of the disk are filed under; accepted: another name")
    driver = table.choice("driver", None, tuple(entry.name for entry in registry.DRIVERS))
    address = table.text("address", None)
    options = table.table("options", None)
    if driver and address:
        try:
            if not options.unknown(registry.driver_class(driver).options_type):
                registry.create(driver, address, options.values, device=name)
        except InvalidValue as error:
            table.problem(_blame(error), error.message if not error.hint else f"{error.message}. {error.hint}")
    return DeviceConfig(
        name=name,
        driver=driver,
        address=address,
        options=options.values,
        serial=table.text("serial", ""),
        calibration=table.text("calibration", ""),
    )


def _blame(error: InvalidValue) -> str:
    """Which key an error of `registry.create` is about."""
    return "address" if "address" in error.message else "options"


def _check_addresses(problems: Problems, devices: Mapping[str, DeviceConfig]) -> None:
    seen: dict[str, str] = {}
    for device in devices.values():
        if not device.address:
            continue
        other = seen.setdefault(device.address, device.name)
        if other != device.name:
            problems.add(f"devices.{device.name}.address", f"is {device.address!r}, which devices.{other} has already")
