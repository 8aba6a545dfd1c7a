"""The `picobridge` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from drivers.errors import Interrupted, PicobridgeError

from .output import print_error

_OVERRIDES = ("override", "end-override", "takeover")

#: Which module brings which commands. The commands of `experiments` are the procedures there are.
MODULES: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "service": ("run", "check"),
    "reloading": ("reload",),
    "make_safe": ("make-safe",),
    "host": ("install-host", "udev-rules"),
    "broker_config": ("broker-config",),
    "inventory": ("drivers", "discover"),
    "mock": ("mock",),
    "direct": ("probe", "do"),
    "every_bridge": ("bridges",),
    "lab_commands": ("devices", "monitor", "call", "stop"),
    "safety_commands": ("emergency-stop", "faults", "acknowledge", "rules", "leases", "state", *_OVERRIDES),
    "experiments": (),
    "schedules": ("check-schedule",),
    "starting": ("procedures", "start"),
    "run_commands": ("answer", "pause", "continue", "abort", "follow", "resume"),
    "recording": ("record", "merge"),
    "records": ("runs", "show", "report", "export", "verify"),
    "audit_trail": ("audit",),
    "sheet_files": ("sheet-files",),
    "completion": ("completion",),
    "manual": ("manual",),
}


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The parser; for a known `command` only its module is loaded, so that `picobridge do` starts at once."""
    parser = argparse.ArgumentParser(
        prog="picobridge",
        description="Bridge between nanobattery lab hardware and MQTT.",
        epilog="`picobridge COMMAND --help` says more. Start with `picobridge demo`.",
    )
    parser.add_argument("--version", action="version", version=f"picobridge {version('picobridge')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = [module for module, names in MODULES.items() if command in names] or list(MODULES)
    for module in wanted:
        import_module(f".{module}", __package__).add_parsers(commands)
    return parser


_NEGATIVE = re.compile(r"-[\d.]")


def _joined(words: Sequence[str]) -> list[str]:
    """`--current -125pA` as `--current=-125pA`: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for word in words:
        if _NEGATIVE.match(word) and joined and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


async def _run(args: argparse.Namespace) -> int:
    """Let SIGTERM end a command as Ctrl-C does: by cancellation, so that devices are left safe."""
    task = asyncio.current_task()
    assert task is not None

    def terminate() -> None:
        args.terminated = True
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    status: int = await args.function(args)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 an error that is printed, 2 wrong usage, 130 and 143 ended by SIGINT and SIGTERM."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else "").parse_args(_joined(words))
    try:
        return asyncio.run(_run(args))
    except PicobridgeError as error:
        print_error(error, as_json=getattr(args, "json", False))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        if getattr(args, "acts", False):
            interruption = Interrupted("ended before it was done", operation=args.command)
            print_error(interruption, as_json=getattr(args, "json", False))
        return 128 + (signal.SIGTERM if getattr(args, "terminated", False) else signal.SIGINT)
    except BrokenPipeError:
        # the reader of our output has gone (`| head`): that is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file or folder that the command line names, a full disk
        print_error(PicobridgeError(str(error)), as_json=getattr(args, "json", False))
        return 1


if __name__ == "__main__":
    sys.exit(main())
