from hypothesis import settings, Phase
from .machine import SafetyMachine, SEEN
import os

SafetyMachine.TestCase.settings = settings(max_examples=int(os.environ.get("N", "10")), stateful_step_count=25, deadline=None, phases=[Phase.generate], report_multiple_bugs=False)

class TestMachine(SafetyMachine.TestCase):
    def runTest(self):
        try:
            super().runTest()
        finally:
            print(sorted(SEEN.items()))
