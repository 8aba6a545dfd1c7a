"""Every stored input, and what grows out of it, is parsed or refused as its parser says, within its bounds."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.errors import InvalidValue, ProtocolError, Refused

from .mutate import mutate
from .target import CORPUS, Target, check_error
from .targets import TARGETS

STORED = [(target, path) for target in TARGETS.values() for path in target.seeds()]
#: Changed inputs of a target in one run of the suite.
EXAMPLES = 120


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Drivers warn of what they find: here of nonsense."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("target", "path"), STORED, ids=lambda value: value.name)
def test_stored_input(target: Target, path: Path) -> None:
    target.check(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_allocation_is_bounded_by_the_input(target: Target) -> None:
    """Of each stored input, and of the same again and again up to the target's limit and beyond."""
    stored = [path.read_bytes() for path in target.seeds()]
    for data in stored:
        target.check(data)  # what is imported and cached once does not count
    for data in stored:
        for size in (len(data), 2 * target.limit):
            repeated = (data * (size // max(1, len(data)) + 1))[:size]
            used = target.allocation(repeated)
            assert used <= target.allowed(size), f"{size} bytes of input took {used}: {repeated[:200]!r}"


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_changed_inputs(target: Target) -> None:
    """Hypothesis chooses the dice, so that it is the same in each run of CI and another in each `nightly` one."""
    stored = [path.read_bytes() for path in target.seeds()]

    @settings(max_examples=EXAMPLES if settings().max_examples <= 100 else settings().max_examples)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        target.check(mutate(random.Random(seed), stored, target.tokens, target.limit))

    check()


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_random_bytes(target: Target) -> None:
    @settings(max_examples=40)
    @given(st.binary(max_size=300))
    @example(b"")
    def check(data: bytes) -> None:
        target.check(data)

    check()


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_long_inputs_end(target: Target) -> None:
    """What a careless expression or a loop in a loop takes hours for."""
    for pattern in (b" ", b"1", b"[", b'"', b'\\"', b"a", b"not ", b"\0", b"\xff", b"1 ", b"{"):
        long = (pattern * target.longest)[: target.longest]
        target.check(long)
        target.check(b"1" + long + b"x")


def test_the_corpus_is_small_and_whole() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000
    assert all(len(target.seeds()) >= 2 for target in TARGETS.values())


def test_the_same_dice_make_the_same_inputs() -> None:
    seeds = (b"0,+1.7377E+00\r\n", b"5,2.0000E-2\r\n")
    made = [[mutate(random.Random(number), seeds, (b"E",), 64) for number in range(200)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) > 150
    assert max(map(len, made[0])) <= 64


# --- that a target notices -----------------------------------------------------------------------------------------


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("no"), RecursionError("deep"), Refused("not mine to raise")])
def test_an_error_that_is_not_declared_is_a_finding(error: Exception) -> None:
    with pytest.raises(type(error)):
        Target("t", lambda _: _raise(error), (InvalidValue,), ()).check(b"")
    Target("t", lambda _: _raise(InvalidValue("x is 1; accepted: 2")), (InvalidValue,), ()).check(b"")


def test_a_warning_is_a_finding() -> None:
    import warnings

    with pytest.raises(RuntimeWarning):
        Target("t", lambda _: warnings.warn("overflow", RuntimeWarning, stacklevel=1), (), ()).check(b"")


@pytest.mark.parametrize("error", [InvalidValue(""), ProtocolError("x" * 30_000), ProtocolError("\ud800")])
def test_an_error_that_says_nothing_or_too_much_or_cannot_be_sent_is_a_finding(error: InvalidValue) -> None:
    with pytest.raises((AssertionError, InvalidValue)):
        check_error(error, 10)
    check_error(InvalidValue("field is 1; accepted: 2", sent=b"\xff", code=3), 10)


def test_memory_for_a_length_that_is_only_promised_is_a_finding() -> None:
    target = Target("t", lambda data: bytearray(int(data)) and None, (), ())
    assert target.allocation(b"3000000") > target.allowed(7)
    assert target.allocation(b"3000") < target.allowed(4)
