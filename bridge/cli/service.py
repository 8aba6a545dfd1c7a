"""`picobridge run` and `check`: the daemon itself, and its configuration."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from bridge.daemon import logs
from bridge.daemon.config import load
from bridge.daemon.daemon import Daemon
from bridge.daemon.preloading import preload
from bridge.web.server import opened, serving

from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run the daemon with a configuration")
    run.add_argument("config", type=Path, metavar="CONFIG.toml")
    run.add_argument("--verbose", action="store_true", help="log more")
    run.set_defaults(function=run_daemon)

    check = commands.add_parser("check", help="check a configuration without touching hardware")
    check.add_argument("config", type=Path, metavar="CONFIG.toml")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(function=run_check)


async def run_daemon(args: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT. Exit status 1 if samples could not be delivered before the end, or a device was not
    proven safe: systemd then runs make-safe once more."""
    logs.configure(verbose=args.verbose)
    faulthandler.enable()  # where every thread was, when the watchdog's SIGABRT comes
    config = load(args.config)
    preload()
    daemon = Daemon(config, file=args.config.absolute())
    daemon.handle_signals()  # before it starts: a signal may come while devices are looked for
    with opened(config.web) as door:
        async with AsyncExitStack() as afterwards, daemon:
            # the page is let go of after the daemon: nothing of it delays switching off
            page = await afterwards.enter_async_context(serving(daemon, config.web, door))
            await _watched(daemon, page)
    return 1 if daemon.left_behind or daemon.unproven else 0


async def _watched(daemon: Daemon, page: str) -> None:
    log = logging.getLogger("picobridge")
    log.info("broker %s, topics below %s/", daemon.broker, daemon.topics.prefix)
    if page:
        log.info("the page is at %s", page)
    for name, supervisor in daemon.devices.items():
        log.info("%s: %s", name, supervisor.connection.error or supervisor.connection.state)
    # what is here now stays: looking through it for garbage would take 20 ms, in which no limit is checked
    gc.freeze()
    await daemon.stopped.wait()


async def run_check(args: argparse.Namespace) -> int:
    config = load(args.config)
    broker = str(config.broker.address or f"embedded, port {config.broker.port}")
    if args.json:
        print_json(
            {
                "file": str(args.config),
                "bridge": config.bridge,
                "prefix": config.topics.prefix,
                "broker": broker,
                "devices": {
                    name: {"driver": device.driver, "address": device.address}
                    for name, device in config.devices.items()
                },
                "procedures": [procedure.name for procedure in config.procedures],
            }
        )
        return 0
    print(f"{args.config} is good: bridge {config.bridge!r}, topics below {config.topics.prefix}/, broker {broker}")
    for name, device in config.devices.items():
        print(f"  {name:20} {device.driver:16} {device.address}")
    for procedure in config.procedures:
        print(f"  {procedure.name:20} {'procedure':16} {procedure.summary}")
    return 0
