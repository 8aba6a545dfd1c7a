"""What the soak counts and finds, while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`problems` are what must not be: sentences. `follow` is called with each line of the log at once."""

    follow: Callable[[str], None] = lambda line: None
    began_s: float = field(default_factory=time.monotonic)
    faults: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    moves: int = 0
    looked: int = 0
    questions: int = 0
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.began_s:8.1f} {text}")
        self.follow(self.log[-1])

    def problem(self, text: str) -> None:
        self.problems.append(text)
        self.say(f"PROBLEM {text}")

    def safe(self, unsafe: list[str], when: str) -> None:
        """The instruments' own record was looked at; what is on or moves must not be."""
        self.looked += 1
        if unsafe:
            self.problem(f"{when}: {', '.join(unsafe)}")
