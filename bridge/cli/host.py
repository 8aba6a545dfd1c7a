"""`picobridge install-host` and `udev-rules`: picobridge as a service of this PC."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from bridge.daemon.config import load
from bridge.host.install import Outcome, install, undo, undoing
from bridge.host.names import names
from bridge.host.steps import FileStep, Plan, plan
from drivers.errors import ConfigurationError, InvalidValue, PermissionDenied

from . import completion, manual
from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    host = commands.add_parser(
        "install-host",
        help="udev rules, the systemd unit and its user on this PC; or undo that",
        description="Put the udev rules, the systemd unit and its user in place; with a configuration also that, and "
        "names below /dev/picobridge for its devices; the manual, and what shells complete with. Shows first what it "
        "will do, and asks. Starts nothing, and touches no instrument.",
    )
    host.add_argument("config", nargs="?", type=Path, metavar="CONFIG.toml", help="goes to /etc/picobridge/lab.toml")
    host.add_argument("--yes", action="store_true", help="do it without asking")
    host.add_argument("--undo", action="store_true", help="put back what was there before")
    host.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="another system's root folder")
    host.add_argument("--json", action="store_true", help="print JSON; without --yes only the plan")
    host.set_defaults(function=run_install_host)

    rules = commands.add_parser(
        "udev-rules",
        help="print udev rules that name the devices of a configuration",
        description="Print udev rules that give each serial and USB device of a configuration its name below "
        "/dev/picobridge. Adapters whose serial number is not in their address must be plugged in. Nothing is sent.",
    )
    rules.add_argument("config", type=Path, metavar="CONFIG.toml")
    rules.set_defaults(function=run_udev_rules)


async def run_udev_rules(args: argparse.Namespace) -> int:
    config = load(args.config)
    text, left_out = await asyncio.to_thread(names, config.devices, str(args.config))
    print(text, end="")
    for sentence in left_out:
        print(f"no name for {sentence}", file=sys.stderr)
    return 0


async def run_install_host(args: argparse.Namespace) -> int:
    root = args.root.resolve()
    if not root.is_dir():
        raise InvalidValue(f"--root is {str(args.root)!r}; accepted: a folder that is there")
    if args.undo and args.config is not None:
        raise InvalidValue(f"--undo takes no configuration, and {args.config} is given")
    if root == Path("/") and os.geteuid() != 0:
        raise PermissionDenied(
            "install-host writes below /etc, which needs root",
            operation="install-host",
            hint=f"sudo {sys.argv[0]} install-host ...; to look at it first: install-host --root DIR",
        )
    return await (_undo(args, root) if args.undo else _install(args, root))


async def _install(args: argparse.Namespace, root: Path) -> int:
    if args.config is not None and not args.config.is_file():
        raise ConfigurationError(f"{args.config} cannot be read: it is no file")
    program = Path(sys.prefix) / "bin" / "picobridge"
    steps = await asyncio.to_thread(plan, program, args.config, root, _for_every_user())
    if not args.json:
        _show(steps, root)
    elif not args.yes:
        print_json({"plan": steps.describe(root), "notes": list(steps.notes), "done": False})
        return 0
    if not await _agreed(args):
        return 1
    described = steps.describe(root)
    outcome = await asyncio.to_thread(install, steps, root)
    following = _following(args, root)
    if args.json:
        fields = {"plan": described, "notes": list(steps.notes), "done": True, "left": outcome.left, "next": following}
        print_json(fields)
        return 0
    _tell(outcome)
    print("Next, when the instruments may be opened:")
    for line in following:
        print(f"  {line}")
    return 0


def _for_every_user() -> dict[Path, str]:
    """The manual and what the shells complete with, where they look for what an administrator added."""
    share = Path("/usr/local/share")
    return {
        **{share / "man" / f"man{name[-1]}" / name: manual.page(name) for name in manual.PAGES},
        share / "bash-completion/completions/picobridge": completion.script("bash"),
        share / "zsh/site-functions/_picobridge": completion.script("zsh"),
        share / "fish/vendor_completions.d/picobridge.fish": completion.script("fish"),
    }


def _show(steps: Plan, root: Path) -> None:
    print(f"picobridge will change {'this PC' if root == Path('/') else root}:")
    for step in steps.steps:
        if not isinstance(step, FileStep):
            print(f"  run    {' '.join(step.argv)}    ({step.why})")
            continue
        state = step.state(root)
        print(f"  {'write' if state == 'new' else 'change' if state == 'changed' else 'keep':6} {step.path}")
        if state == "changed":
            print("".join(f"      {line}\n" for line in step.diff(root).splitlines()), end="")
    for note in steps.notes:
        print(f"  note: {note}")
    if not steps.changes(root):
        print("All files are as they should be already.")


async def _undo(args: argparse.Namespace, root: Path) -> int:
    sentences = await asyncio.to_thread(undoing, root)
    if not args.json:
        print("picobridge will")
        for sentence in sentences:
            print(f"  {sentence}")
    elif not args.yes:
        print_json({"undo": sentences, "done": False})
        return 0
    if not await _agreed(args):
        return 1
    outcome = await asyncio.to_thread(undo, root)
    if args.json:
        print_json({"undo": outcome.done, "left": outcome.left, "done": True})
    else:
        _tell(outcome)
    return 0


async def _agreed(args: argparse.Namespace) -> bool:
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidValue("nobody can be asked: standard input is no terminal", hint="Add --yes.")
    answer = await asyncio.to_thread(input, "Go on? [y/N] ")
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.")
    return False


def _tell(outcome: Outcome) -> None:
    for sentence in outcome.done:
        print(f"done: {sentence}")
    for sentence in outcome.left:
        print(f"left: {sentence}")


def _following(args: argparse.Namespace, root: Path) -> list[str]:
    lines = []
    if root == Path("/"):
        if person := os.environ.get("SUDO_USER"):
            lines.append(f"sudo usermod --append --groups picobridge,dialout {person}    (then log in again)")
        lines.append("sudo systemctl enable --now picobridge")
    else:
        lines.append("systemctl enable --now picobridge, on the system whose root this is")
    return lines
