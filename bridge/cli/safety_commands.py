"""`picobridge emergency-stop`, `faults`, `acknowledge`, `rules`, `leases`, `state`, `override`: a rig kept safe."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from drivers.errors import InvalidValue

from .lab_commands import add_broker_arguments, lab_of
from .output import print_json, waiting


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stop = commands.add_parser(
        "emergency-stop", help="everything safe, now, and nothing moves again until somebody has acknowledged it"
    )
    add_broker_arguments(stop)
    stop.set_defaults(function=run_emergency_stop)

    faults = commands.add_parser("faults", help="what is latched and waits for somebody to look")
    add_broker_arguments(faults)
    faults.set_defaults(function=run_faults)

    acknowledge = commands.add_parser("acknowledge", help="say that you have looked at a fault; starts nothing")
    acknowledge.add_argument("fault", type=int, metavar="NUMBER", help="as `picobridge faults` shows it")
    add_broker_arguments(acknowledge)
    acknowledge.set_defaults(function=run_acknowledge)

    rules = commands.add_parser("rules", help="the interlocks: what must hold before anything moves or is energised")
    add_broker_arguments(rules)
    rules.set_defaults(function=run_rules)

    leases = commands.add_parser("leases", help="who controls which devices now")
    add_broker_arguments(leases)
    leases.set_defaults(function=run_leases)

    state = commands.add_parser(
        "state",
        help="say what you have seen where a device cannot tell",
        description="For a limited time, and with your name in the audit: picobridge state stage.touch_alarm=armed",
    )
    state.add_argument(
        "seen", metavar="DEVICE.QUANTITY=VALUE", help="such as stage.touch_alarm=armed, tip.contact=false"
    )
    state.add_argument("--for", dest="duration", default="10 min", metavar="TIME", help="default '10 min'")
    add_broker_arguments(state)
    state.set_defaults(function=run_state)

    override = commands.add_parser("override", help="set a rule aside for a while; it is shown, and audited")
    override.add_argument("rule", metavar="RULE")
    override.add_argument("--for", dest="duration", required=True, metavar="TIME", help="such as '60 s'")
    override.add_argument("--reason", required=True, help="why; stands in the audit")
    add_broker_arguments(override)
    override.set_defaults(function=run_override)


async def run_emergency_stop(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        with waiting("emergency stop"):
            outcome = await lab.emergency_stop()
    unsafe = [name for name, state in outcome["devices"].items() if state != "safe"]
    if args.json:
        print_json(outcome)
    else:
        fault = outcome["fault"]
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


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text.lower(), text)
