"""The judge of the soak sees a sample that is missing, one that was never sent, and a broken index; and it puts every
reading into one row."""

from __future__ import annotations

from pathlib import Path

import numpy

from .account import Row
from .instruments import CONNECTED, KILLED, Mark, Sent
from .judge import Compared, check_indices, compare
from .rows import ROW, StreamFile, number_of, read

PAIRS = [(3.0 + 0.01 * number, 1e-9) for number in range(100)]


def rows(pairs: list[tuple[float, float]], run: str = "a", first_index: int = 0) -> numpy.ndarray:
    found = numpy.zeros(len(pairs), ROW)
    found["index"] = numpy.arange(first_index, first_index + len(pairs))
    found["voltage_v"], found["current_a"] = numpy.array(pairs).T
    found["run"] = number_of(run)
    return found


def marks(*on: int, killed: int | None = None) -> list[Mark]:
    """Connected at each of `on`; killed before what was connected there."""
    found = [Mark(at, CONNECTED) for at in on]
    return found if killed is None else sorted([Mark(killed, KILLED), *found], key=lambda mark: mark.at)


def judged(recorded: list[numpy.ndarray], sent: Sent) -> Compared:
    found = compare("pstat", recorded, sent)
    assert found.unexplained == 0
    return found


def counts(found: Compared) -> dict[Row, int]:
    """Of the readings that were not recorded."""
    return {row: count for row, count in found.rows.items() if count and row is not Row.RECORDED}


def test_all_there_is_well() -> None:
    found = judged([rows(PAIRS[2:50])], Sent(PAIRS[:50], marks=marks(0)))
    assert (found.rows[Row.RECORDED], found.foreign, found.recorded) == (48, 0, 48)
    assert counts(found) == {Row.SETTING_UP: 2}


def test_one_that_is_missing_in_a_run_is_seen() -> None:
    found = judged([rows(PAIRS[:20] + PAIRS[21:40])], Sent(PAIRS[:40], marks=marks(0)))
    assert (counts(found), found.foreign) == ({Row.MISSING: 1}, 0)
    assert "as its reading 20 and is not recorded" in found.examples[0]


def test_one_that_was_never_sent_is_seen() -> None:
    changed = [*PAIRS[:10], (9.9, 9.9), *PAIRS[11:20]]
    found = judged([rows(changed)], Sent(PAIRS[:20], marks=marks(0)))
    assert (found.foreign, counts(found)) == (1, {Row.MISSING: 1})


def test_what_the_wire_spoilt_is_not_missing() -> None:
    found = judged([rows(PAIRS[:20] + PAIRS[22:40])], Sent(PAIRS[:40], spoilt={20}, marks=marks(0)))
    assert counts(found) == {Row.SPOILT: 1, Row.OUT_OF_STEP: 1}


def test_what_is_sent_while_nothing_is_plugged_in_is_not_missing() -> None:
    """Nor what it goes on to send, with its source on, to whoever plugs it in again."""
    found = judged([rows(PAIRS[:20]), rows(PAIRS[60:], "b")], Sent(PAIRS, unplugged=set(range(20, 50)), marks=marks(0)))
    assert counts(found) == {Row.UNPLUGGED: 30, Row.AFTER_THE_END: 10}


def test_readings_of_setting_up_are_not_missing_but_many_of_them_are() -> None:
    sent = Sent(PAIRS, marks=marks(0, 20))
    assert counts(judged([rows(PAIRS[:20] + PAIRS[24:])], sent)) == {Row.SETTING_UP: 4}
    assert counts(judged([rows(PAIRS[:20] + PAIRS[60:])], sent)) == {Row.SETTING_UP: 16, Row.MISSING: 24}
    of_two_runs = [numpy.concatenate([rows(PAIRS[:20]), rows(PAIRS[60:], "b", 20)])]
    assert counts(judged(of_two_runs, sent)) == {Row.SETTING_UP: 16, Row.MISSING: 24}


def test_a_technique_of_which_nothing_was_recorded() -> None:
    found = judged([rows(PAIRS[:20]), rows(PAIRS[60:], "b")], Sent(PAIRS, marks=marks(0, 30, 55)))
    assert counts(found) == {Row.AFTER_THE_END: 10, Row.SETTING_UP: 16 + 5, Row.MISSING: 9}
    assert counts(judged([], Sent(PAIRS, marks=marks(0, 10)))) == {Row.SETTING_UP: 10 + 16, Row.MISSING: 74}


def test_the_end_of_a_killed_daemon() -> None:
    """Of 100 that were sent, 50 were on disk and 53 sent when it was killed."""
    found = judged([rows(PAIRS[:50])], Sent(PAIRS, marks=marks(0, killed=53)))
    assert (counts(found), found.longest_kill) == ({Row.AT_A_KILL: 3, Row.NO_TAKER: 47}, 3)


def test_a_kill_excuses_nothing_of_the_next_daemon() -> None:
    found = judged([rows(PAIRS[:50]), rows(PAIRS[90:], "b")], Sent(PAIRS, marks=marks(0, 50, killed=50)))
    assert counts(found) == {Row.SETTING_UP: 16, Row.MISSING: 24}


def test_runs_and_streams_follow_each_other() -> None:
    sent = Sent(PAIRS, marks=marks(0, 30, 60, killed=60))
    recorded = [numpy.concatenate([rows(PAIRS[:30]), rows(PAIRS[31:59], "b", 30)]), rows(PAIRS[60:], "c")]
    found = judged(recorded, sent)
    assert (found.runs, found.foreign) == (3, 0)
    assert counts(found) == {Row.SETTING_UP: 1, Row.AT_A_KILL: 1}


def test_a_recorded_sample_in_no_row_is_seen() -> None:
    """As if the same reading were recorded twice: the judge itself is wrong, or the rows do not add up."""
    found = compare("pstat", [rows(PAIRS[:50])], Sent(PAIRS[:50], marks=marks(0)))
    found.rows[Row.RECORDED] -= 1
    assert found.unexplained == 2


def test_indices() -> None:
    assert check_indices("s", rows(PAIRS)) == []
    assert "sample 8 is where 7 should be" in check_indices("s", numpy.delete(rows(PAIRS), 7))[0]
    assert "sample 5 is where 0 should be" in check_indices("s", rows(PAIRS, first_index=5))[0]


def test_a_torn_row_is_cut_off_and_what_is_there_is_not_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "pstat-1.rows"
    first = StreamFile(path)
    assert first.append(rows(PAIRS[:10])) == 0
    first.close()
    with path.open("ab") as file:
        file.write(b"half a row")
    again = StreamFile(path)
    assert again.next_index == 10
    assert again.append(rows(PAIRS[:15])) == 10
    again.close()
    assert check_indices("s", read(path)) == []
    assert len(read(path)) == 15
