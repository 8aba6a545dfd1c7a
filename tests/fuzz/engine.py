"""Runs a target for some time: with coverage by atheris where that is installed, else by changes of stored inputs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from .mutate import mutate
from .target import Target
from .targets import TARGETS

#: One input may take so long; more is a finding.
SLOW_S = 2.0
#: Nothing came back after so long: given up.
HANG_S = 20
_MEMORY_MB = 3000
_REPORT_S = 0.5
_FIRST_FRAMES = 3


class Hang(BaseException):
    """No `Exception`, so that no parser takes it for one of its own."""


@dataclass
class Outcome:
    """What a run of one target came to. `findings` are descriptions by file name."""

    target: str
    engine: str
    executions: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        return f"{self.target:24} {self.executions:>10} executions {rate:>8.0f}/s {len(self.findings):>4} findings"


class Examiner:
    """Hands inputs to a target and keeps the shortest one of each kind of finding in `folder`."""

    def __init__(self, target: Target, folder: Path, engine: str) -> None:
        self._target = target
        self._folder = folder
        self._began_s = time.monotonic()
        self._reported_s = 0.0
        self._sizes: dict[str, int] = {}
        self.outcome = Outcome(target.name, engine)
        folder.mkdir(parents=True, exist_ok=True)
        logging.disable(logging.CRITICAL)

    def look(self, data: bytes) -> None:
        begun_s = time.monotonic()
        try:
            self._target.check(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._keep(data, _kind(error), "".join(traceback.format_exception_only(error)).strip())
        now_s = time.monotonic()
        if now_s - begun_s > SLOW_S:
            self._keep(data, "slow", f"it took {now_s - begun_s:.1f} s")
        self.outcome.executions += 1
        self.outcome.seconds = now_s - self._began_s
        if now_s - self._reported_s > _REPORT_S:
            self.report()
            self._reported_s = now_s

    def weigh(self, data: bytes) -> None:
        """What it allocates; slow, so not each time."""
        try:
            used = self._target.allocation(data)
        except BaseException:
            return  # `look` tells
        if used > self._target.allowed(len(data)):
            self._keep(data, "allocation", f"{len(data)} bytes took {used} bytes of memory")

    def report(self) -> None:
        """To a file: atheris ends the process without a word."""
        (self._folder / "outcome.json").write_text(json.dumps(asdict(self.outcome)), encoding="utf-8")

    def _keep(self, data: bytes, kind: str, text: str) -> None:
        if len(data) >= self._sizes.get(kind, sys.maxsize):
            return
        self._sizes[kind] = len(data)
        name = f"{self._target.name}-{kind}"
        (self._folder / name).write_bytes(data)
        self.outcome.findings[name] = text[:500]
        self.report()


def _kind(error: BaseException) -> str:
    """The same for the same mistake: the error's class and the innermost places of our own code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    places = "".join(f"{Path(frame.filename).name}:{frame.lineno};" for frame in frames[-_FIRST_FRAMES:])
    return f"{type(error).__name__}-{hashlib.sha256(places.encode()).hexdigest()[:8]}"


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def run(name: str, seconds: float, folder: Path, seed: int) -> Outcome:
    """One target in a process of its own, so that a crash or a lack of memory ends only that. Raises `OSError`."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("outcome.json"):
        old.unlink()
    command = [sys.executable, "-m", "tests.fuzz", "--child", name, "--seconds", f"{seconds:g}"]
    command += ["--keep-in", str(folder), "--seed", str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    try:
        outcome = Outcome(**json.loads((place / "outcome.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        outcome = Outcome(name, "none")
    artifacts = [path for path in place.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-", "hang-"))]
    outcome.findings |= {path.name: "the process ended over it" for path in artifacts}
    if done.returncode and not outcome.findings:
        log = place / "log.txt"
        log.write_bytes(done.stdout)
        outcome.findings["log.txt"] = f"the process ended with {done.returncode}; {log} has its last words"
    return outcome


def child(name: str, seconds: float, folder: Path, seed: int) -> int:
    """What `run` starts."""
    target, place = TARGETS[name], folder / name
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MB << 20, _MEMORY_MB << 20))
    if has_atheris():
        from .coverage import fuzz

        return fuzz(target, seconds, place, seed)
    return by_mutation(target, seconds, place, seed)


def by_mutation(target: Target, seconds: float, folder: Path, seed: int) -> int:
    """The stored inputs, then changes of them until the time is over."""
    examiner = Examiner(target, folder, "mutation")
    stored = [path.read_bytes() for path in target.seeds()]
    dice = random.Random(seed)
    current = b""

    def give_up(_: int, __: FrameType | None) -> None:
        (folder / "hang-last").write_bytes(current)
        raise Hang(f"no end after {HANG_S} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    try:
        for data in stored:
            examiner.look(data)
            examiner.weigh(data)
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            current = mutate(dice, stored, target.tokens, target.limit)
            signal.alarm(HANG_S)
            examiner.look(current)
            if examiner.outcome.executions % 500 == 0:
                examiner.weigh(current)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        examiner.report()
        logging.disable(logging.NOTSET)
    return 1 if examiner.outcome.findings else 0


def default_folder() -> Path:
    """Outside of the repository: what is found may be large, and is nobody's yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "picobridge-fuzz"
