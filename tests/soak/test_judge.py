"""The judge of the soak sees a sample that is missing, one that was never sent, and a broken index."""

from __future__ import annotations

from pathlib import Path

import numpy

from .instruments import Sent
from .judge import Compared, check_indices, compare
from .rows import ROW, StreamFile, number_of, read

PAIRS = [(3.0 + 0.01 * number, 1e-9) for number in range(100)]


def rows(pairs: list[tuple[float, float]], run: str = "a", first_index: int = 0) -> numpy.ndarray:
    found = numpy.zeros(len(pairs), ROW)
    found["index"] = numpy.arange(first_index, first_index + len(pairs))
    found["voltage_v"], found["current_a"] = numpy.array(pairs).T
    found["run"] = number_of(run)
    return found


def judged(recorded: list[numpy.ndarray], sent: Sent) -> Compared:
    return compare("pstat", recorded, sent)


def test_all_there_is_well() -> None:
    found = judged([rows(PAIRS[2:50])], Sent(PAIRS[:50], on=[0]))
    assert (found.missing, found.foreign, found.after_the_end, found.recorded) == (0, 0, 0, 48)


def test_one_that_is_missing_in_a_run_is_seen() -> None:
    found = judged([rows(PAIRS[:20] + PAIRS[21:40])], Sent(PAIRS[:40], on=[0]))
    assert (found.missing, found.foreign) == (1, 0)
    assert "before sample 20" in found.examples[0]


def test_one_that_was_never_sent_is_seen() -> None:
    changed = [*PAIRS[:10], (9.9, 9.9), *PAIRS[11:20]]
    found = judged([rows(changed)], Sent(PAIRS[:20], on=[0]))
    assert (found.foreign, found.missing) == (1, 1)


def test_what_the_wire_spoilt_is_not_missing() -> None:
    found = judged([rows(PAIRS[:20] + PAIRS[22:40])], Sent(PAIRS[:40], spoilt={20}, on=[0]))
    assert (found.missing, found.spoilt) == (0, 1)


def test_readings_of_setting_up_are_not_missing_but_many_of_them_are() -> None:
    sent = Sent(PAIRS, on=[0, 20])
    assert judged([rows(PAIRS[:20] + PAIRS[24:])], sent).setting_up == 4
    found = judged([rows(PAIRS[:20] + PAIRS[60:])], sent)
    assert (found.setting_up, found.missing) == (16, 24)


def test_the_end_of_a_killed_daemon() -> None:
    """Of 100 that were sent, 50 were on disk and 53 sent when it was killed."""
    found = judged([rows(PAIRS[:50])], Sent(PAIRS, on=[0], killed=[53]))
    assert (found.at_a_kill, found.longest_kill, found.no_taker, found.after_the_end) == (3, 3, 47, 0)


def test_runs_and_streams_follow_each_other() -> None:
    sent = Sent(PAIRS, on=[0, 30, 60], killed=[60])
    recorded = [numpy.concatenate([rows(PAIRS[:30]), rows(PAIRS[31:59], "b", 30)]), rows(PAIRS[60:], "c")]
    found = judged(recorded, sent)
    assert (found.runs, found.missing, found.foreign, found.at_a_kill) == (3, 0, 0, 1)


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
