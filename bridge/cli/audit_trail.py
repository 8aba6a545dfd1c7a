"""`picobridge audit`: who wanted what, and what came of it. Needs no daemon, only its state directory."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.safety.audit_chain import CURRENT, closed_files, record_of, verify
from drivers.errors import InvalidValue

from .output import print_json
from .state_dirs import state_dirs


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser(
        "audit",
        help="who wanted what moved or energised, and what came of it",
        description="Also checks that no record was changed or taken out; exit status 1 if one was.",
    )
    audit.add_argument(
        "--state", type=Path, metavar="DIRECTORY", help="the daemon's state_dir (default: the usual places)"
    )
    audit.add_argument("--last", type=int, default=20, metavar="N", help="so many records (default 20; 0: all)")
    audit.add_argument("--json", action="store_true", help="print JSON, a line a record")
    audit.set_defaults(function=run_audit)


async def run_audit(args: argparse.Namespace) -> int:
    folders = [args.state] if args.state is not None else state_dirs()
    found = [folder / "audit" for folder in folders if (folder / "audit").is_dir()]
    if len(found) != 1:
        where = ", ".join(str(folder) for folder in (found or folders)) or "(no directory)"
        raise InvalidValue(
            f"{len(found)} audits were found; accepted: one, named by --state; looked in: {where}",
        )
    checked = await asyncio.to_thread(verify, found[0])
    records = deque(_records(found[0]), args.last or None)
    for record in records:
        if args.json:
            print_json(record)
        else:
            print(described(record))
    whole = f"{checked.records} records, {checked.first_seq} to {checked.last_seq}, none changed or taken out"
    if args.json:
        print_json({"records": checked.records, "last_hash": checked.last_hash, "broken": checked.broken or None})
    elif checked.ok:
        print(f"{whole}; the last one's hash is {checked.last_hash[:16]}...")
    else:
        print(f"BROKEN after {checked.records} records: {checked.broken}", file=sys.stderr)
    return 0 if checked.ok else 1


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """Those that can be read; what cannot is `verify`'s to tell."""
    for path in (*closed_files(folder), folder / CURRENT):
        if not path.exists():
            continue
        for line in path.read_bytes().split(b"\n"):
            try:
                yield record_of(line)
            except ValueError:
                continue


def described(record: Mapping[str, Any]) -> str:
    """One line: when, what kind, by whom, what."""
    when = datetime.fromtimestamp(record.get("time_ns", 0) / 1e9, UTC).isoformat(timespec="milliseconds")
    who = record.get("user") or record.get("by") or record.get("holder") or ""
    said = [f"{when} {record['seq']:>6} {record.get('kind', ''):16} {who:20}"]
    if act := record.get("act"):
        arguments = ", ".join(f"{name}={value}" for name, value in (record.get("arguments") or {}).items())
        said.append(f"{act}({arguments})")
    if record.get("run"):
        said.append(f"run {record['run']}")
    if "of" in record:
        said.append(f"{'done' if record.get('done') else 'NOT done'}: record {record['of']}")
    for name in ("group", "fault", "device", "rule", "input", "value", "reason", "text", "method"):
        if name in record and not (act and name in ("device", "method")):
            said.append(f"{name} {record[name]}")
    if error := record.get("error"):
        said.append(str(error.get("message", "")))
    return "  ".join(part for part in said if part)
