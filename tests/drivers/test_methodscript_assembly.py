"""Which variable becomes which column, and the flags that come of status, damage and time."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.potentiostats.methodscript.assembly import Assembler
from drivers.potentiostats.methodscript.models import MODELS
from drivers.potentiostats.methodscript.script import Settings, plan
from drivers.potentiostats.methodscript.stream import StreamParser
from drivers.potentiostats.methodscript.values import Packets
from drivers.samples import Flag
from drivers.techniques import Galvanostatic, Impedance, OpenCircuit, Technique

CHARGE = Galvanostatic(current_a=1e-9, duration_s=1e6, interval_s=0.1)


def assembler(technique: Technique = CHARGE) -> Assembler:
    return Assembler(plan(technique, MODELS["es4_hr"], Settings()))


def packets(text: str) -> Packets:
    (event,) = StreamParser().feed(text.encode())
    assert isinstance(event, Packets)
    return event


@pytest.mark.parametrize(
    "line",
    [
        "Peb8000064m;ab8000E10m;ba8000005p,10,209\n",
        "Peb8000064m;ab8000E10m;db8000005p,10,209\n",
        "Pba8000005p,10,209;ab8000E10m;eb8000064m\n",  # by type, whatever the order
        "Pja8000064m;jb8000E10m;jc8000005p,10,209\n",  # by place where the types do not tell
        "Peb8000064m;da8000E10m;da8000005p,10,209\n",
    ],
)
def test_columns_by_type_or_place(line: str) -> None:
    (segment,) = assembler().add(packets(line))
    assert {name: column.tolist() for name, column in segment.data.items()} == {
        "time_s": [0.1],
        "voltage_v": [3.6],
        "current_a": [5e-12],
        "flags": [0],
    }
    assert segment.range_index == 9


def test_open_circuit_and_impedance_have_their_own_columns() -> None:
    (rest,) = assembler(OpenCircuit(duration_s=1)).add(packets("Peb8000064m;ab8000E10m,10\n"))
    assert rest.data["current_a"].tolist() == [0.0]
    (spectrum,) = assembler(Impedance()).add(packets("Peb8000064m;dcDF5DFF4u;cc896D904m,10,287;cd82DB1A8u,10,287\n"))
    assert spectrum.data["frequency_hz"].tolist() == [99.999732]
    assert spectrum.data["z_imag_ohm"].tolist() == [2.9946]
    assert spectrum.range_index == 0x87


def test_status_bits_become_flags() -> None:
    expected = {1: Flag.TIMING, 2: Flag.OVERLOAD, 4: Flag.UNDERLOAD, 8: Flag.OVERLOAD_WARNING, 10: Flag.OVERLOAD | 16}
    for status, flag in expected.items():
        (segment,) = assembler().add(packets(f"Peb8000064m;ab8000E10m;ba8000005p,1{status:X},209\n"))
        assert segment.data["flags"].tolist() == [int(flag)]
    (segment,) = assembler().add(packets("Peb8000064m;ab     nan,12;ba8000005p,10,209\n"))
    assert segment.data["flags"].tolist() == [int(Flag.OVERLOAD | Flag.INVALID)]
    assert np.isnan(segment.data["voltage_v"][0])


def test_cuts_where_the_range_changes() -> None:
    text = "".join(
        f"Peb{0x8000000 + 100 * n:07X}m;ab8000E10m;ba8000005p,10,2{9 if n < 30 else 12:02X}\n" for n in range(1, 51)
    )
    assert [(len(s), s.range_index) for s in assembler().add(packets(text))] == [(29, 9), (21, 12)]


def test_packets_with_other_variables_are_lost_lines() -> None:
    made = assembler()
    assert made.add(packets("Peb8000064m;ab8000E10m\n")) == []
    (segment,) = made.add(packets("Peb80000C8m;ab8000E10m;ba8000005p\n"))
    assert segment.data["flags"].tolist() == [int(Flag.GAP)]


@pytest.mark.parametrize(
    ("times", "gaps"),
    [
        ("8000064m 80000C8m 800012Cm", []),
        ("8000000m 8000064m 80000C8m", []),
        ("80000C8m 800012Cm 8000190m", [0]),
        ("8000064m 800012Cm 8000190m", [1]),
        # beyond 37 h the device's time comes in whole seconds: a step of one is no gap at 10 samples a second
        ("8020C4A  8020C4A  8020C4B ", [0]),
        ("8020C4A  8020C4A  8020C4D ", [0, 2]),
    ],
)
def test_gaps_by_the_devices_own_time(times: str, gaps: list[int]) -> None:
    fields = [times[begin : begin + 8] for begin in range(0, len(times), 9)]
    text = "".join(f"Peb{field};ab8000E10m;ba8000005p\n" for field in fields)
    (segment,) = assembler().add(packets(text))
    assert np.flatnonzero(segment.data["flags"] & Flag.GAP).tolist() == gaps
