"""What somebody's script writes: drivers by their folder's name, numbers as numpy gives them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from drivers.errors import InvalidValue
from drivers.quantities import quantity
from drivers.registry import DRIVERS, driver_class


@pytest.mark.parametrize("entry", DRIVERS, ids=lambda entry: entry.name)
def test_every_driver_is_to_be_had_from_its_interfaces_folder(entry: object) -> None:
    module, name = entry.driver.split(":")  # type: ignore[attr-defined]
    folder = ".".join(module.split(".")[:2])
    script = f"from {folder} import {name}, {driver_class(entry.name).options_type.__name__}; import sys; "  # type: ignore[attr-defined]
    script += (
        "assert not {m for m in sys.modules if m.split('.')[0] in ('bridge', 'mocks', 'aiomqtt', 'pyvisa', 'usb')}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_numbers_of_numpy_are_numbers() -> None:
    assert quantity(np.int64(3), "m") == 3.0
    assert quantity(np.float64(1e-12), "A") == 1e-12
    with pytest.raises(InvalidValue):
        quantity(np.bool_(True), "m")


def test_an_integer_beyond_every_float_is_refused_in_words() -> None:
    with pytest.raises(InvalidValue, match="current"):
        quantity(10**400, "A", field="current")
