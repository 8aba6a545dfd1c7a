"""Results as JSON: one way for the command line, the daemon and the procedures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bridge.daemon import technique_run
from drivers import plain
from drivers.calls import arguments, to_json
from drivers.errors import InvalidValue
from drivers.interfaces import GaugeStatus, Pressure
from drivers.samples import SAMPLE_COLUMNS, SampleBlock
from drivers.techniques import Galvanostatic


def test_what_is_no_number_is_null_and_what_is_infinite_says_so() -> None:
    assert to_json(Pressure(math.nan, False, GaugeStatus.OFF)) == {
        "pressure_pa": None,
        "valid": False,
        "status": "off",
    }
    block = SampleBlock.of(
        SAMPLE_COLUMNS,
        {"time_s": [0.0, 0.1], "voltage_v": [math.nan, 4.2], "current_a": [1e-12, -math.inf], "flags": [64, 1]},
    )
    found = json.loads(json.dumps(to_json(block), allow_nan=False))
    assert found["columns"]["voltage_v"] == [None, 4.2]
    assert found["columns"]["current_a"] == [1e-12, "-Infinity"]
    assert found["columns"]["flags"] == [64, 1]


def test_numpy_numbers_in_attributes_are_numbers() -> None:
    block = SampleBlock.of(
        SAMPLE_COLUMNS, {c.name: [] for c in SAMPLE_COLUMNS}, attributes={"range": np.float64(1e-9), "n": np.int64(3)}
    )
    assert json.loads(json.dumps(to_json(block)))["attributes"] == {"range": 1e-9, "n": 3}


def test_a_float_comes_back_to_the_bit() -> None:
    values = np.random.default_rng(1).standard_normal(1000) * 1e-12
    back = [plain.from_plain(float, item) for item in json.loads(plain.dumps(values))]
    assert np.array_equal(np.array(back), values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"current": "1 pA"}, "galvanostatic needs duration in s"),
        ({"current": "1 pA", "duration": "1 s", "volume": 1}, "has no parameter 'volume'; accepted: "),
        ({"current": "1 pA", "current_a": 1e-12, "duration": 1}, "current is given twice"),
        ({"current": "1 V", "duration": 1}, "current is '1 V'"),
    ],
)
def test_the_command_line_and_the_daemon_refuse_in_the_same_words(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        arguments("potentiostat", "galvanostatic", values)
    with pytest.raises(InvalidValue, match=message):
        technique_run.parse({"technique": "galvanostatic", **values})


def test_a_technique_from_text() -> None:
    values = {"technique": "galvanostatic", "current": "10 pA", "duration_s": "2 min", "voltage_max": None}
    assert technique_run.parse(values) == Galvanostatic(current_a=1e-11, duration_s=120.0)
