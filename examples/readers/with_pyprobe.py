"""Read a run with PyProBE 2.6: `python with_pyprobe.py FOLDER/pstat.mpt`, in an environment that has PyProBE-Data.

The file is made by `picobridge export RUN --format ec-lab`; PyProBE knows it as BioLogic's. It counts steps from 0,
finds cycles by itself from steps that come again, and its capacity is the net charge, counted from its lowest.
"""

import json
import sys
from pathlib import Path

import pyprobe

source = Path(sys.argv[1])
cell = pyprobe.Cell(info={"Name": source.parent.name})
converted = str(source.with_suffix(".pyprobe.parquet"))
cell.import_from_cycler("run", "biologic", str(source), converted, overwrite_existing=True)
run = cell.procedure["run"]
told = {
    "columns": sorted(run.columns),
    "samples": len(run.data),
    "last_time_s": run.data["Time [s]"][-1],
    "current_a": run.data["Current [A]"].to_list()[:3],
    "voltage_v": run.data["Voltage [V]"].to_list()[:3],
    "charged_ah": run.charge(0).capacity,
    "discharged_ah": run.discharge(0).capacity,
}
Path(converted).unlink()
print(json.dumps(told))
