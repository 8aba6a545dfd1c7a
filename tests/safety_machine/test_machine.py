"""Whatever is asked for and whatever breaks: nothing moves or is energised that may not."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings

from .machine import SEEN, SafetyMachine

#: Under the profile "nightly" far more; without shrinking, which would take longer than reading what is told.
EXAMPLES = 2000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 30
STEPS = 25


@pytest.mark.timeout(36_000 if EXAMPLES > 100 else 180)
class TestSafetyMachine(SafetyMachine.TestCase):  # type: ignore[misc, name-defined]  # hypothesis makes it at run time
    settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, phases=[Phase.generate])

    def runTest(self) -> None:
        super().runTest()
        for several in (("stage moves", "tip moves"), ("pstat energised",), ("latched emergency_stop",)):
            assert sum(SEEN[what] for what in several) >= 1, f"{several}: nothing was tried; {SEEN}"
