"""What a person takes away from a run: its recorded samples, pictures and a page to read."""

from .bdf import BdfWriter
from .page import write_report
from .run_folder import RunFolder, StreamCount

__all__ = ["BdfWriter", "RunFolder", "StreamCount", "write_report"]
