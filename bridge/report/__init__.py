"""What a person takes away from a run: pictures and a page to read."""

from .page import write_report

__all__ = ["write_report"]
