"""`python -m tests.faults`: the table of `docs/reliability.md`."""

from __future__ import annotations

from .catalogue import table

print(table())
