"""What a run needs on the disk."""

from __future__ import annotations

from bridge.daemon.space import expected_bytes
from drivers.techniques import CyclicVoltammetry, Galvanostatic


def test_a_technique_needs_its_samples_twice() -> None:
    parsed = Galvanostatic(current_a=1e-9, duration_s=86_400, interval_s=0.1)
    assert expected_bytes(parsed, 1) == 2 * 40 * 864_000
    assert expected_bytes(parsed, 3) == 3 * expected_bytes(parsed, 1)
    assert expected_bytes(parsed, 0) == 0


def test_a_run_of_unknown_length_is_taken_to_last_a_week() -> None:
    sweep = CyclicVoltammetry(begin_v=0, vertex1_v=1, vertex2_v=-1, rate_v_per_s=0.1, cycles=1000)
    assert expected_bytes(sweep, 1) == 2 * 40 * 7 * 864_000
