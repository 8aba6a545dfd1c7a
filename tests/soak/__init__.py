"""A simulated month of unattended cycling with faults: `python -m tests.soak`, docs/reliability.md."""
