"""`picobridge emergency-stop`, `faults`, `acknowledge`, `rules`, `leases`, `state`, `override`: a rig kept safe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from drivers.errors import InvalidValue

from .broker_arguments import add_broker_arguments, lab_of
from .output import print_json, waiting


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, (function, help, more) in _COMMANDS.items():
        parser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}. {more}")
        if (add_own := _ARGUMENTS.get(name)) is not None:
            add_own(parser)
        add_broker_arguments(parser)
        parser.set_defaults(function=function)


def _fault(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fault", type=int, metavar="NUMBER", help="as `picobridge faults` shows it")


def _seen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "seen", metavar="DEVICE.QUANTITY=VALUE", help="such as stage.touch_alarm=armed, tip.contact=false"
    )
    parser.add_argument("--for", dest="duration", default="10 min", metavar="TIME", help="default '10 min'")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", metavar="DEVICE")
    parser.add_argument("--reason", required=True, help="why; stands in the audit")


def _rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", metavar="RULE", help="as `picobridge rules` shows it")


def _aside(parser: argparse.ArgumentParser) -> None:
    _rule(parser)
    parser.add_argument("--for", dest="duration", required=True, metavar="TIME", help="such as '60 s'")
    parser.add_argument("--reason", required=True, help="why; stands in the audit")


async def run_emergency_stop(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        with waiting("emergency stop"):
            outcome = await lab.emergency_stop()
    unsafe = [name for name, state in outcome["devices"].items() if state != "safe"]
    if args.json:
        print_json(outcome)
    else:
        fault = outcome["fault"]
        if fault is None:
            print("stopped, and latched; the disk did not take it. When you have looked: picobridge faults")
        else:
            print(f"stopped; fault {fault} is latched. When you have looked: picobridge acknowledge {fault}")
        if unsafe:
            print(f"NOT proven safe: {', '.join(unsafe)}", file=sys.stderr)
    return 1 if unsafe else 0


async def run_faults(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        known = await lab.faults()
    if args.json:
        print_json(known)
        return 0
    for fault in known["open"]:
        where = f"{fault['device']}: " if fault["device"] else ""
        print(f"{fault['id']:>5}  {where}{fault['text']}")
        if fault["cause_gone"]:
            print(f"       its cause is gone: picobridge acknowledge {fault['id']}")
        else:
            print(f"       its cause is still there. {fault['hint']}")
    for device in known["starting"]:
        print(f"       {device} was not read yet; that needs no acknowledgement")
    if not known["open"] and not known["starting"]:
        print("no faults")
    return 0


async def run_acknowledge(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        await lab.acknowledge(args.fault)
    if args.json:
        print_json({"fault": args.fault})
    else:
        print(f"fault {args.fault} is acknowledged; nothing was started by that")
    return 0


async def run_rules(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        known = await lab.request("rules")
    if args.json:
        print_json(known)
        return 0
    for notice in known["notices"]:
        print(f"NOTE: {notice}")
    for rule in known["rules"]:
        why = f" ({rule['off']})" if rule.get("off") else ""
        print(f"{rule['id']:16} {rule['status']:10} {rule['text']}{why}")
    for said in known["statements"]:
        print(f"{said['by']} has seen that {said['input']} is {said['value']} (for {said['left_s']:.0f} s still)")
    return 0


async def run_leases(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        held = await lab.request("leases")
    if args.json:
        print_json({"leases": held})
        return 0
    for lease in held:
        left = "as long as it lasts" if lease["left_s"] is None else f"for {lease['left_s']:.1f} s still"
        print(f"{lease['group']:16} {lease['holder']}, {left}: {', '.join(lease['devices'])}")
    if not held:
        print("nobody controls anything")
    return 0


async def run_state(args: argparse.Namespace) -> int:
    name, equals, text = args.seen.partition("=")
    if not equals or "." not in name:
        raise InvalidValue(f"{args.seen!r} is no DEVICE.QUANTITY=VALUE; accepted: such as stage.touch_alarm=armed")
    async with lab_of(args, ask_devices=False) as lab:
        await lab.state(name, _value(text), args.duration)
    if args.json:
        print_json({"input": name, "value": _value(text)})
    else:
        print(f"{name} counts as {text} for {args.duration}, by your word")
    return 0


async def run_override(args: argparse.Namespace) -> int:
    asked = {"rule": args.rule, "for": args.duration, "reason": args.reason}
    async with lab_of(args, ask_devices=False) as lab:
        answer = await lab.request("override", asked)
    if args.json:
        print_json(answer)
    else:
        print(f"the rule {args.rule} is set aside for {args.duration}")
    return 0


async def run_takeover(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        lease = await lab.request("takeover", {"device": args.device, "reason": args.reason})
        await lab.request("release", {"lease": lease["lease"]})  # it is free for whoever asks next
    if args.json:
        print_json({"group": lease["group"], "devices": lease["devices"]})
    else:
        print(
            f"{lease['group']} ({', '.join(lease['devices'])}) is free: its holder lost it, and what moved was stopped"
        )
    return 0


async def run_end_override(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        await lab.request("end_override", {"rule": args.rule})
    if args.json:
        print_json({"rule": args.rule})
    else:
        print(f"the rule {args.rule} is in force again")
    return 0


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text.lower(), text)


_ARGUMENTS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "acknowledge": _fault,
    "state": _seen,
    "takeover": _device,
    "override": _aside,
    "end-override": _rule,
}

#: What each does, what its line of help says, and what its page of help says beyond that.
_COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace], Awaitable[int]], str, str]] = {
    "emergency-stop": (
        run_emergency_stop,
        "everything safe, now, and nothing again until somebody has acknowledged it",
        "As `picobridge stop`: runs aborted, sources off, motion stopped; and a fault is latched that forbids "
        "everything until `picobridge acknowledge`. This is software: it does not replace the red button.",
    ),
    "faults": (
        run_faults,
        "what is latched and waits for somebody to look",
        "Why, whether its cause is gone, and how to acknowledge it. Faults outlive a restart.",
    ),
    "acknowledge": (
        run_acknowledge,
        "say that you have looked at a fault; starts nothing",
        "Only a fault whose cause is gone can be acknowledged.",
    ),
    "rules": (
        run_rules,
        "the interlocks: what must hold before anything moves or is energised",
        "Each is in force, set aside for a while, off by the configuration, or absent because no device needs it.",
    ),
    "leases": (
        run_leases,
        "who controls which devices now",
        "A run holds its devices as long as it lasts, a client as long as it says so every few seconds.",
    ),
    "state": (
        run_state,
        "say what you have seen where a device cannot tell",
        "For a limited time, and with your name in the audit: picobridge state stage.touch_alarm=armed",
    ),
    "takeover": (
        run_takeover,
        "free devices that somebody else holds, with a reason",
        "For when a program holds them that nobody can reach. What moves is stopped; it is audited.",
    ),
    "override": (
        run_override,
        "set a rule aside for a while",
        "Only rules that allow it; it is shown to everybody, and audited.",
    ),
    "end-override": (run_end_override, "put a rule in force again that was set aside", ""),
}
