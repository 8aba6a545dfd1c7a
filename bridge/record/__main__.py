"""`python -m bridge.record FOLDER`: make the exports of a run, in a process of its own and of low priority."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .run_record import RunRecord

os.nice(10)  # nothing that is measured may wait for this
made = RunRecord.open(Path(sys.argv[1])).export()
print(json.dumps({"exports": [str(path) for path in made]}))
