"""Sets of indices as ranges, beside Python's own sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.transfer.ranges import Ranges

RANGE = st.tuples(st.integers(0, 40), st.integers(0, 40))


def of(pairs: list[tuple[int, int]]) -> set[int]:
    return {index for begin, end in pairs for index in range(begin, end)}


@given(st.lists(RANGE, max_size=12), RANGE, st.integers(0, 40))
def test_they_are_the_set_of_their_indices(pairs: list[tuple[int, int]], asked: tuple[int, int], index: int) -> None:
    ranges, indices = Ranges(pairs), of(pairs)
    assert of(list(ranges)) == indices
    flat = [edge for pair in ranges for edge in pair]
    assert flat == sorted(set(flat)), "in order, none empty, none touching the next"
    assert of(list(ranges.missing(*asked))) == of([asked]) - indices
    assert ranges.count_in(*asked) == len(of([asked]) & indices)
    end = index
    while end in indices:
        end += 1
    assert ranges.end_of(index) == end
    ranges.remove_before(index)
    assert of(list(ranges)) == {each for each in indices if each >= index}
