"""What faults of the spool's disk are filed under."""

from __future__ import annotations

#: No device has this name, so no device's acts are forbidden by these faults. Runs are stopped on their own.
OF_THE_SPOOL = "spool"
