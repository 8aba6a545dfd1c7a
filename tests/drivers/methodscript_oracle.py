"""The obvious parser of MethodSCRIPT packets, one line after the other: the oracle of the vectorised one."""

from __future__ import annotations

import math

_EXPONENTS = {"a": 18, "f": 15, "p": 12, "n": 9, "u": 6, "m": 3}
_UP = {" ": 1, "i": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}


def value_of(field: str) -> float:
    """Eight characters: seven hexadecimal digits and an SI prefix. Division of two integers is correctly rounded."""
    if field == "     nan":
        return math.nan
    number = int(field[:7], 16) - 0x8000000
    if field[7] in _UP:
        return float(number * _UP[field[7]])
    return number / 10 ** _EXPONENTS[field[7]]


def parse_line(line: str) -> list[tuple[str, float, int, int]]:
    """(type, value, status, range or -1) of each variable."""
    variables = []
    for text in line[1:].split(";"):
        head, *metadata = text.split(",")
        status, range_index = 0, -1
        for item in metadata:
            if item.startswith("1"):
                status = int(item[1:], 16)
            elif item.startswith("2"):
                range_index = int(item[1:], 16)
        variables.append((head[:2], value_of(head[2:]), status, range_index))
    return variables


def parse(text: str) -> list[list[tuple[str, float, int, int]]]:
    return [parse_line(line) for line in text.split("\n") if line.startswith("P")]
