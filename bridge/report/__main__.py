"""`python -m bridge.report FOLDER`: exports and report of a run, in a process of its own and of low priority."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bridge.record import RunRecord

from .run_report import report

os.nice(10)  # nothing that is measured may wait for this
folder = Path(sys.argv[1])
made = RunRecord.open(folder).export()
page = report(RunRecord.open(folder))  # opened again: the exports are among its files now
print(json.dumps({"exports": [str(path) for path in made], "report": str(page)}))
