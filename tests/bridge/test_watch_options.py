"""Reactions and thresholds of the health watch, from a file, a command line and a request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.daemon.config import load
from bridge.daemon.watch import RunWatch
from bridge.daemon.watch_options import WatchOptions, parse_assignments, parse_watch
from drivers.errors import ConfigurationError, InvalidValue
from drivers.interfaces import PotentiostatCapabilities
from drivers.samples import SAMPLE_COLUMNS, SampleBlock
from drivers.techniques import Galvanostatic
from tests.near import near

CAPABILITIES = PotentiostatCapabilities(frozenset({"galvanostatic"}), (), -10.0, 10.0)


def written(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_is_done(tmp_path: Path) -> None:
    config = load(
        written(
            tmp_path,
            '[watch]\nshort = "mark"\ncontact_grace = "2 s"\nstray_f = "120 pF"\nintermittent_per_minute = 5\n'
            'overload = "off"\ndrift_tolerance = 0.1\nwindow_high = "4.25 V"\n',
        )
    )
    watch = config.watch
    assert (watch.short, watch.contact_lost, watch.overload, watch.overload_stays) == ("mark", "stop", "off", "stop")
    assert watch.thresholds.contact.grace_s == 2.0
    assert watch.thresholds.contact.per_minute == 5
    assert watch.stray_f == near(120e-12, rel=1e-12)
    assert watch.window_high_v == 4.25
    assert load(written(tmp_path, "")).watch == WatchOptions()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('short = "explode"', "watch.short is 'explode'; accepted: off, mark, pause, stop"),
        ('shorts = "stop"', "watch.shorts is not known"),
        ("contact_grace_s = 0", "watch.contact_grace_s is 0 s; accepted: more than 0 s"),
        ('stray_f = "5 V"', "watch.stray_f is '5 V'"),
        ("enabled = 1", "watch.enabled is 1; accepted: true or false"),
        ('cell = "maybe"', "watch.cell is 'maybe'; accepted: auto, yes, no"),
        ("window_low = 3\nwindow_high = 2", "watch.window_low_v is 3 V, not below window_high_v, 2 V"),
    ],
)
def test_a_mistake_names_the_key_and_what_is_accepted(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(written(tmp_path, f"[watch]\n{text}\n"))
    assert told in raised.value.message
    assert len(raised.value.detail["problems"]) == 1


def test_a_command_line() -> None:
    base = WatchOptions(overload="stop")
    watch = parse_watch(
        parse_assignments(["short=mark, drift=off", "contact-grace=2s", "intermittent_per_minute=4"]), base
    )
    assert (watch.short, watch.drift, watch.overload) == ("mark", "off", "stop")
    assert (watch.contact_grace_s, watch.intermittent_per_minute) == (2.0, 4)
    assert parse_watch({"overload": "mark"}, WatchOptions(overload_stays="off")).overload_stays == "off"
    assert parse_watch(parse_assignments(["off"])).enabled is False
    assert parse_watch(parse_assignments(["enabled=true"]), WatchOptions(enabled=False)).enabled is True
    for text in ("short", "short=", "=stop"):
        with pytest.raises(InvalidValue, match="OPTION=VALUE"):
            parse_assignments([text])


def test_a_request() -> None:
    assert parse_watch(False).enabled is False
    assert parse_watch("off").enabled is False
    assert parse_watch(True, WatchOptions(enabled=False, short="mark")) == WatchOptions(short="mark")
    with pytest.raises(InvalidValue, match=r"watch is \[\]; accepted: a table"):
        parse_watch([])


@pytest.mark.parametrize(
    ("procedure", "parameters", "limits", "cell", "watched"),
    [
        ("cycle", {"area_m2": 1e-11, "voltage_min_v": 2.0, "voltage_max_v": 4.2}, {}, "auto", True),
        ("noise-test", {"voltage_limit_v": 10.0}, {"voltage_min_v": -10.0, "voltage_max_v": 10.0}, "auto", False),
        ("short-test", {"area_m2": 1e-11}, {"voltage_max_v": 4.2}, "auto", False),
        ("technique", {}, {}, "auto", False),
        ("technique", {}, {"voltage_max_v": 4.2}, "auto", True),
        ("technique", {}, {}, "yes", True),
        ("cycle", {"area_m2": 1e-11}, {}, "no", False),
    ],
)
def test_whether_there_is_a_cell_to_watch(
    procedure: str, parameters: dict[str, float], limits: dict[str, float], cell: str, watched: bool
) -> None:
    """Fifty samples that stand still at 50 mV: a short where a cell is expected."""
    watch = RunWatch(WatchOptions(cell=cell, area_m2=None), procedure, parameters, lambda finding: None, lambda: False)
    technique = Galvanostatic(current_a=5e-12, duration_s=60.0, **limits)
    watch.begin("pstat", technique, CAPABILITIES)
    time = 0.1 * np.arange(1, 301)
    data = {"time_s": time, "voltage_v": np.full(300, 0.05), "current_a": np.full(300, 5e-12), "flags": np.zeros(300)}
    stop = watch.add("pstat", SampleBlock.of(SAMPLE_COLUMNS, data))
    assert (stop is not None) == watched
    with watch.part("noise-test", {}):
        watch.begin("pstat", technique, CAPABILITIES)
        assert (watch.add("pstat", SampleBlock.of(SAMPLE_COLUMNS, data)) is not None) == (cell == "yes")
