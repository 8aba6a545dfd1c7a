"""The fabrication and test of one nanobattery, as a checklist that is carried out."""

from .protocol import PROCEDURE, NanobatteryProtocol

__all__ = ["PROCEDURE", "NanobatteryProtocol"]
