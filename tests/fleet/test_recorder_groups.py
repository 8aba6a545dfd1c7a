"""What a group of recorders has, as the daemon counts it: only what is on a disk, without a gap, is acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.daemon import recorder_groups
from bridge.daemon.recorder_groups import GIVEN_S, GRACE_S, Extent, RecorderGroups
from drivers.errors import InvalidValue


class Cursors:
    """Only what this needs of a table."""

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}

    async def all(self) -> list[Any]:
        row = type("Row", (), {})
        rows = []
        for stream, index in self.reached.items():
            one = row()
            one.recorder, one.stream, one.next_index = "archive", stream, index
            rows.append(one)
        return rows

    async def acknowledge_all(self, recorder: str, reached: dict[str, int], *, at_ns: int) -> None:
        assert recorder == "archive"
        assert all(index >= self.reached.get(stream, 0) for stream, index in reached.items()), "never less"
        self.reached |= reached


class Rig:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.there = {"s": Extent(0, 0)}
        self.cursors = Cursors()
        self.restart()

    def restart(self) -> None:
        self.groups = RecorderGroups(self, self.cursors, lambda: self.now_s)  # type: ignore[arg-type]

    def extents(self) -> dict[str, Extent]:
        return self.there

    async def tell(self, member: str, *kept: tuple[int, int], gone: tuple[tuple[int, int], ...] = ()) -> Any:
        return await self.groups.handlers["group_recorded"](
            {
                "group": "archive",
                "member": member,
                "kept": {"s": [list(pair) for pair in kept]},
                "gone": {"s": [list(pair) for pair in gone]},
            }
        )


def given_to(answer: Any) -> list[tuple[int, int]]:
    return [(each["first_index"], each["next_index"]) for each in answer["fetch"]]


async def test_blocks_at_different_members_are_acknowledged_as_far_as_there_is_no_gap() -> None:
    rig = Rig()
    rig.there["s"] = Extent(0, 100)
    assert (await rig.tell("a", (0, 10), (20, 30)))["recorded"] == {"s": 10}
    assert (await rig.tell("b", (30, 40)))["recorded"] == {"s": 10}
    assert (await rig.tell("b", (10, 20)))["recorded"] == {"s": 40}
    assert rig.cursors.reached == {"s": 40}


async def test_what_nobody_tells_of_is_given_to_one_and_if_it_does_not_come_to_another() -> None:
    rig = Rig()
    rig.there["s"] = Extent(0, 100)
    assert given_to(await rig.tell("a", (0, 40), (60, 100))) == [], "it may still be on its way"
    rig.now_s += GRACE_S
    rig.there["s"] = Extent(0, 200)
    assert given_to(await rig.tell("b")) == [(40, 60)]
    assert given_to(await rig.tell("a")) == [], "one is enough"
    rig.now_s += GIVEN_S
    assert given_to(await rig.tell("c")) == [(40, 60), (100, 200)], "b has died"
    answer = await rig.tell("c", (40, 50), (100, 200), gone=((50, 60),))
    assert (answer["recorded"], given_to(answer)) == ({"s": 200}, [])


async def test_a_backlog_is_divided_among_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_groups, "GIVEN_SAMPLES", 30)
    rig = Rig()
    rig.there["s"] = Extent(10, 100, missing=((40, 50),))
    await rig.tell("a")
    rig.now_s += GRACE_S
    assert given_to(await rig.tell("a")) == [(10, 40)]
    assert given_to(await rig.tell("b")) == [(50, 80)]
    assert given_to(await rig.tell("a", (10, 40))) == [(80, 100)]
    assert rig.cursors.reached == {"s": 50}, "what is lost for ever holds nobody up"


async def test_a_daemon_that_was_restarted_goes_on_from_the_acknowledgement() -> None:
    rig = Rig()
    rig.there["s"] = Extent(0, 100)
    before = await rig.tell("a", (0, 10), (20, 30))
    rig.restart()
    after = await rig.tell("a")
    assert before["daemon"] != after["daemon"], "so that members tell again what it has forgotten"
    assert after["recorded"] == {"s": 10}
    assert (await rig.tell("b", (10, 20), (20, 30)))["recorded"] == {"s": 30}


async def test_a_disk_that_did_not_take_the_acknowledgement_gets_it_again() -> None:
    rig = Rig()
    rig.there["s"] = Extent(0, 100)
    take, failures = rig.cursors.acknowledge_all, iter([True])

    async def fails(*arguments: Any, **named: Any) -> None:
        if next(failures, False):
            raise InvalidValue("the disk is full")
        await take(*arguments, **named)

    rig.cursors.acknowledge_all = fails  # type: ignore[method-assign]
    with pytest.raises(InvalidValue, match="the disk is full"):
        await rig.tell("a", (0, 10))
    assert (await rig.tell("a"))["recorded"] == {"s": 10}
    assert rig.cursors.reached == {"s": 10}


@pytest.mark.parametrize(
    "told",
    [
        {"kept": []},
        {"kept": {"s": 3}},
        {"kept": {"s": [[1, 1]]}},
        {"kept": {"s": [[-1, 1]]}},
        {"kept": {"s": [[0, True]]}},
        {"gone": {"s": [["0", 1]]}},
        {"more": 1},
        {"member": "a/b"},
        {"group": ""},
    ],
)
async def test_what_is_no_report_is_refused_and_changes_nothing(told: dict[str, Any]) -> None:
    rig = Rig()
    rig.there["s"] = Extent(0, 100)
    with pytest.raises(InvalidValue):
        await rig.groups.handlers["group_recorded"]({"group": "archive", "member": "a", **told})
    assert (await rig.tell("a"))["recorded"] == {"s": 0}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 8), st.booleans()), max_size=40))
async def test_never_more_is_acknowledged_than_was_told(acts: list[tuple[str, int, int, bool]]) -> None:
    """Whoever tells what in which order, with the daemon restarted in between."""
    rig = Rig()
    rig.there["s"] = Extent(0, 30)
    told: set[int] = set()
    for member, begin, length, restart in acts:
        told |= set(range(begin, min(begin + length, 30)))
        answer = await rig.tell(member, (begin, begin + length))
        cursor = answer["recorded"]["s"]
        assert set(range(cursor)) <= told
        if restart:
            rig.restart()


def test_the_page_says_these_times() -> None:
    page = (Path(__file__).parents[2] / "docs" / "several-lab-pcs.md").read_text()
    assert f"not been told of {GRACE_S:g} s after it was measured" in page
    assert f"given to another after {GIVEN_S:g} s" in page
