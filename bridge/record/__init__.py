"""What stays of a run: one folder with its samples, parameters, devices, events and results, in open formats."""

from .recorder import Recorder
from .recording import Recording
from .run_folder import RunFolder
from .run_record import RunRecord

__all__ = ["Recorder", "Recording", "RunFolder", "RunRecord"]
