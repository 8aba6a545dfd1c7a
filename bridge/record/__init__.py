"""What stays of a run: one folder with its samples, parameters, devices, events and results, in open formats."""

from .collector import Collector
from .description import Description
from .recorder import Recorder
from .recording import Recording
from .run_record import RunRecord

__all__ = ["Collector", "Description", "Recorder", "Recording", "RunRecord"]
