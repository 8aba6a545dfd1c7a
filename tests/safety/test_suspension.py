"""A sleep of the computer is noticed by two clocks that drift apart."""

from __future__ import annotations

from bridge.safety.suspension import Suspension

from ..near import near


def test_a_sleep_is_told_once() -> None:
    monotonic, boot = 100.0, 5000.0
    suspension = Suspension(lambda: monotonic, lambda: boot)
    monotonic, boot = 160.0, 5060.0
    assert suspension.slept_s() == 0.0
    monotonic, boot = 161.0, 5061.0 + 3600.0
    assert suspension.slept_s() == near(3600.0)
    assert suspension.slept_s() == 0.0


def test_the_computer_s_own_clocks_do_not_tell_of_a_sleep_that_was_not() -> None:
    suspension = Suspension()
    assert suspension.slept_s() == 0.0
