"""Addresses."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidValue
from drivers.transports import Address, open_transport
from drivers.transports.address import KINDS

TARGET = st.text(st.characters(codec="ascii", exclude_characters="?", categories=["L", "N", "P", "S"]), min_size=1)
VALUE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))
PARAMETERS = st.dictionaries(VALUE.filter(bool), VALUE, max_size=4)


@given(kind=st.sampled_from(KINDS), target=TARGET, parameters=PARAMETERS)
def test_text_and_address_are_each_others_inverse(kind: str, target: str, parameters: dict[str, str]) -> None:
    address = Address(kind, target, parameters)
    assert Address.parse(str(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_a_named_error(text: str) -> None:
    with suppress(InvalidValue):
        assert Address.parse(text).kind in KINDS


@given(st.sampled_from(KINDS), st.text(max_size=30))
def test_any_target_makes_a_transport_or_a_named_error(kind: str, rest: str) -> None:
    with suppress(InvalidValue):
        assert not open_transport(f"{kind}:{rest}").is_open


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must begin with one of serial:, tcp:, visa:, usb:"),
        ("COM3", "must begin with one of"),
        ("serial:", "names nothing after serial:"),
        ("serial:/dev/ttyUSB0?9600", "not of the form key=value"),
        ("serial:/dev/ttyUSB0?bauds=9600", "unknown parameter 'bauds'; accepted: baud, parity"),
        ("serial:/dev/ttyUSB0?baud=fast", "baud is 'fast', a whole number is needed"),
        ("serial:/dev/ttyUSB0?baud=0", "baud is 0, a positive number is needed"),
        ("serial:/dev/ttyUSB0?parity=X", "parity is 'X'; accepted: N, E, O"),
        ("serial:/dev/ttyUSB0?stopbits=3", "stopbits is '3'; accepted: 1, 2"),
        ("serial:/dev/ttyUSB0?bytesize=9", "bytesize is '9'; accepted: 7, 8"),
        ("serial:/dev/ttyUSB0?rtscts=maybe", "rtscts is 'maybe'; accepted: 1, 0"),
        ("tcp:192.168.0.7", "must be tcp:host:port"),
        ("tcp:192.168.0.7:0", "with a port from 1 to 65535"),
        ("tcp:192.168.0.7:65536", "with a port from 1 to 65535"),
        ("tcp:fe80::1:23", "an IPv6 address goes in brackets"),
        ("usb:104d", "must be usb:vendor:product in hexadecimal"),
        ("usb:wxyz:4000", "must be usb:vendor:product in hexadecimal"),
        ("usb:104d:40000", "must be usb:vendor:product in hexadecimal"),
        ("usb:104d:4000?bus=one", "bus is 'one', a whole number is needed"),
        ("visa:NOTHING", "'NOTHING' is not a VISA resource name"),
        ("visa:TCPIP::192.168.0.5::SOCKET", "port part is mandatory"),
        ("visa:GPIB0::24::INSTR?baud=9600", "unknown parameter 'baud'; accepted: library"),
    ],
)
def test_wrong_addresses_are_refused_with_what_is_accepted(text: str, complaint: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        open_transport(text)
    assert complaint in str(caught.value)


def test_defaults_of_a_driver_hold_unless_the_address_says_otherwise() -> None:
    defaults = {"serial": {"baud": "115200", "parity": "e"}}
    assert str(open_transport("serial:/dev/ttyUSB0", defaults).address) == "serial:/dev/ttyUSB0?baud=115200&parity=e"
    assert open_transport("serial:/dev/ttyUSB0?baud=300", defaults).address.integer("baud", 9600) == 300
    assert open_transport("tcp:host:1", defaults).address.parameters == {}


def test_which_visa_resources_carry_messages() -> None:
    assert open_transport("visa:GPIB0::24::INSTR").packets
    assert open_transport("visa:USB0::0x05E6::0x2450::04096331::INSTR").packets
    assert open_transport("visa:TCPIP::192.168.0.5::inst0::INSTR").packets
    assert not open_transport("visa:TCPIP::192.168.0.5::5025::SOCKET").packets
    assert not open_transport("visa:ASRL/dev/ttyUSB0::INSTR").packets
    assert open_transport("usb:104d:4000").packets
