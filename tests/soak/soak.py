"""The whole soak: started, broken again and again, judged."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from bridge.client import Lab, connect
from bridge.safety.audit_chain import Verification, verify
from drivers.errors import PicobridgeError
from tests.bridge.conftest import Mosquitto
from tests.faults.processes import _toml

from .account import Row
from .clock import pause
from .faults import FaultMaker, Rig
from .instruments import PLACES, SOURCES, Instruments, instruments
from .judge import Compared, check_indices, compare
from .operator import Operator
from .recorder import NAME
from .recording import RecorderProcess
from .rows import ROW
from .service import Life, Service
from .tally import Tally
from .watch import Watch, watching

DAY_S = 86_400.0
#: The part of the time in which nobody ends the daemon, so that one life is long.
QUIET = (0.3, 0.75)
#: Bytes that the spool may take: what was recorded is deleted.
SPOOL_BYTES = 200_000_000
_DRAIN_S = 60.0
#: What a daemon that is killed may not have on disk yet: 20 ms of samples by design, and what a busy machine had not
#: let it read. `tests/spool` holds it to the 20 ms.
_KILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """`speed` is simulated seconds in a real one, `seconds` the real time after which it is broken off."""

    days: float = 30.0
    seed: int = 1
    seconds: float = float("inf")
    speed: float = 1440.0
    interval_s: float = 10.0
    faults_a_day: float = 6.0


@dataclass(slots=True)
class Outcome:
    """`problems` empty: all is well."""

    days: float = 0.0
    wall_s: float = 0.0
    compared: dict[str, Compared] = field(default_factory=dict)
    streams: int = 0
    recorder: dict[str, int] = field(default_factory=dict)
    recorder_starts: int = 0
    lives: list[Life] = field(default_factory=list)
    spool_bytes: int = 0
    audit: Verification | None = None
    events: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    @property
    def problems(self) -> list[str]:
        return self.tally.problems


def write_config(folder: Path, broker: str, addresses: Mapping[str, str]) -> Path:
    lines = ["[bridge]", 'state_dir = "state"', "reports = false", "exports = false"]
    lines += ["[broker]", f'url = "{broker}"']
    lines += ["[spool]", 'keep = "1 min"', f"max_gb = {SPOOL_BYTES / 1e9}", f'recorders = ["{NAME}"]']
    # the tip rests on the pad all the time: no stage could move
    lines += ["[interlocks]", 'cells = ["pstat"]', 'off = ["tip-clear"]']
    for name, place in PLACES.items():
        lines += [f"[devices.{name}]", f'driver = "{place.driver}"', f'address = "{addresses[name]}"']
        lines += [f"options = {_toml(dict(place.options))}"]
    path = folder / "lab.toml"
    path.write_text("\n".join(lines))
    return path


async def soak(
    options: Options, folder: Path, script: Sequence[str] = (), follow: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Raises what broke the soak itself. `folder` is empty, and is left as it was when all was over. With a `script`
    it is those faults that happen, one after the other, and the soak ends after them, however many days that took.
    `follow` is called with each line of its log.
    """
    tally = Tally(follow=follow)
    outcome = Outcome(tally=tally)
    async with AsyncExitStack() as stack:
        mosquitto = Mosquitto(folder)
        await asyncio.to_thread(mosquitto.start)
        stack.callback(mosquitto.stop)
        rig = await stack.enter_async_context(instruments(options.seed, options.speed))
        config = write_config(folder, str(mosquitto.address), rig.addresses)
        service = Service(config, options.speed, ",".join(SOURCES), rig.unsafe, tally)
        watch = await stack.enter_async_context(watching(mosquitto.address))
        recorder = RecorderProcess(str(mosquitto.address), folder / "recorded")

        def killing() -> None:
            rig.note_kill()
            watch.note_kill()

        service.killing = killing
        await service.start()
        stack.push_async_callback(_end, service, recorder)
        await asyncio.wait_for(watch.online.wait(), 60)
        await recorder.start()
        lab = await stack.enter_async_context(connect(str(mosquitto.address), bridge="lab", name="operator"))
        tally.began_s = time.monotonic()
        operator = Operator(lab, rig, tally, options.seed + 10, options.interval_s)
        broken = Rig(rig, mosquitto, service, recorder, lab, operator, config, tally)
        await _live(options, broken, outcome, script)
        await _drained(lab, recorder, tally)
        outcome.wall_s = time.monotonic() - tally.began_s
        await service.stop()
        await recorder.kill()
        _judge(options, outcome, rig, recorder, service, watch, folder)
    return outcome


async def _end(service: Service, recorder: RecorderProcess) -> None:
    """Nothing is left behind when the soak itself broke."""
    with suppress(ProcessLookupError):
        await recorder.kill()
    with suppress(ProcessLookupError):
        await service.stop()


async def _live(options: Options, rig: Rig, outcome: Outcome, script: Sequence[str]) -> None:
    """The month."""
    tally = rig.tally
    length_s = options.seconds if script else min(options.days * DAY_S / options.speed, options.seconds)

    def may_end() -> bool:
        return not QUIET[0] < (time.monotonic() - tally.began_s) / length_s < QUIET[1]

    operator = rig.operator
    faults = FaultMaker(rig, options.seed + 20)
    pause_s = DAY_S / options.speed / options.faults_a_day
    looking = asyncio.create_task(rig.service.look(), name="soak look")
    working = asyncio.create_task(operator.work(), name="soak operator")
    work = faults.perform(script) if script else faults.work(pause_s, may_end)
    breaking = asyncio.create_task(work, name="soak faults")
    telling = asyncio.create_task(_tell_days(options, tally), name="soak days")
    all_tasks = (looking, working, breaking, telling)
    try:
        limit_s = None if math.isinf(length_s) else length_s
        ended, _ = await asyncio.wait(all_tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:  # none ends before it is told to
            task.result()
        outcome.days = (time.monotonic() - tally.began_s) * options.speed / DAY_S
        await _finished(breaking, faults)
        operator.end()
        async with asyncio.timeout(2 * _DRAIN_S):
            await working
    finally:
        for task in all_tasks:
            task.cancel()
        await asyncio.gather(*all_tasks, return_exceptions=True)


async def _tell_days(options: Options, tally: Tally) -> None:
    """A line for each simulated day, until cancelled."""
    for day in itertools.count(1):
        await pause(DAY_S / options.speed)
        done = f"{tally.faults.total()} faults, {tally.runs['started']} runs, {len(tally.problems)} problems"
        tally.say(f"day {day} is over: {done} so far")


async def _finished(breaking: asyncio.Task[None], faults: FaultMaker) -> None:
    """What is broken just now is mended before the soak ends."""
    await faults.idle()
    breaking.cancel()
    await asyncio.gather(breaking, return_exceptions=True)


async def _drained(lab: Lab, recorder: RecorderProcess, tally: Tally) -> None:
    """Until the recorder has all that the daemon has of every stream that it still keeps."""
    behind = ["nobody was asked"]
    try:
        async with asyncio.timeout(_DRAIN_S):
            while behind:
                await pause(0.5)
                with suppress(PicobridgeError):
                    known: list[dict[str, Any]] = await lab.request("streams")
                    behind = [
                        f"{each['stream']} at {recorder.next_index(each['stream'])} of {each['next_index']}"
                        for each in known
                        if recorder.next_index(each["stream"]) < each["next_index"]
                    ]
                    lost = [f"{each['stream']}: {each['missing']}" for each in known if each["missing"]]
    except TimeoutError:
        tally.problem(f"after {_DRAIN_S:g} s the recorder has not got {', '.join(behind)}")
        return
    if lost:
        tally.problem(f"the spool lost {', '.join(lost)}")


def _judge(
    options: Options,
    outcome: Outcome,
    rig: Instruments,
    recorder: RecorderProcess,
    service: Service,
    watch: Watch,
    folder: Path,
) -> None:
    tally = outcome.tally
    files = recorder.rows()
    for name in set(files) - set(watch.taken):
        tally.problem(f"{name}: recorded, and the daemon never said that there is such a stream")
    for name, taken in watch.taken.items():
        # of one that was killed: what it had on disk was published
        wanted = watch.published[name] if name in watch.killed else taken
        rows = files.setdefault(name, numpy.zeros(0, ROW))
        for problem in check_indices(name, rows):
            tally.problem(problem)
        if len(rows) < wanted:
            tally.problem(f"{name}: {len(rows)} recorded, {wanted} were taken by the daemon")
    at_a_kill = math.ceil(_KILL_S * options.speed / options.interval_s)
    for device in SOURCES:
        streams = [files[name] for name in watch.taken if name.startswith(f"{device}-")]
        found = outcome.compared[device] = compare(device, streams, rig.sent[device])
        if found.longest_kill > at_a_kill:
            tally.problem(f"{device}: {found.longest_kill} samples were not on disk at a kill; at most {at_a_kill}")
        if found.rows[Row.MISSING] or found.foreign:
            missing = found.rows[Row.MISSING]
            tally.problem(f"{device}: {missing} missing, {found.foreign} never sent: {found.examples}")
        if found.unexplained:
            tally.problem(f"{device}: {found.unexplained} readings are in no row, or in two: {found}")
    outcome.streams = len(files)
    outcome.recorder = dict(recorder.counts)
    outcome.recorder_starts = recorder.starts
    if outcome.recorder.get("missing"):
        tally.problem(f"the recorder gave up {outcome.recorder['missing']} samples")
    outcome.lives = service.lives
    outcome.spool_bytes = service.spool_bytes
    if service.spool_bytes > SPOOL_BYTES:
        tally.problem(f"the spool took {service.spool_bytes} bytes")
    outcome.audit = verify(folder / "state" / "audit")
    if not outcome.audit.ok:
        tally.problem(f"the audit: {outcome.audit}")
    for text in rig.unasked:
        tally.problem(text)
    outcome.events, outcome.errors = dict(watch.events), dict(watch.errors)
