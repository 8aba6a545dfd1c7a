"""Read a run with cellpy 2.1: `python with_cellpy.py FOLDER/pstat.bdf.parquet`, in an environment that has cellpy.

cellpy's reader of Battery Data Format is that of the BatMo project: time in hours, a text that says which steps charge
and discharge (it makes currents negative by that, so they go in without a sign), and charge and discharge by step. Ours
has seconds and signed currents and leaves charge to whoever integrates, which is done here by trapezoids.
"""

import json
import sys
import tempfile
from pathlib import Path

import cellpy
import numpy as np
import pandas as pd

samples = pd.read_parquet(sys.argv[1])
current, step = samples["Current / A"], samples["Step Count / 1"]
hours = samples["Test Time / s"] / 3600
passed = (hours.diff() * (current + current.shift()) / 2).where(step == step.shift(), 0.0)
mean = current.groupby(step).transform("mean")
batmo = pd.DataFrame(
    {
        "Test Time / h": hours,
        "Current / A": current.abs(),
        "Voltage / V": samples["Voltage / V"],
        "Step Index / 1": step,
        "Cycle Count / 1": samples.get("Cycle Count / 1", 1),
        "Step Type / 1": np.select([mean > 0, mean < 0], ["charge", "discharge"], "rest"),
        "Charge Capacity / Ah": passed.clip(lower=0).groupby(step).cumsum(),
        "Discharge Capacity / Ah": (-passed).clip(lower=0).groupby(step).cumsum(),
    }
)
with tempfile.TemporaryDirectory() as folder:
    source = Path(folder) / "run.csv"
    batmo.to_csv(source, index=False)
    cell = cellpy.get(str(source), instrument="batmo_bdf", mass=1.0, logging_mode="CRITICAL")
raw, summary = cell.data.raw, cell.data.summary
told = {
    "samples": len(raw),
    "last_time_s": float(raw["test_time"].iloc[-1]),
    "current_a": raw["current"].to_list(),
    "potential_v": raw["potential"].to_list(),
    "cycles": summary["cycle_num"].to_list(),
    "charged_mah": summary["charge_capacity_absolute"].to_list(),
    "discharged_mah": summary["discharge_capacity_absolute"].to_list(),
}
print(json.dumps(told))
