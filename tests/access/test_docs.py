"""The numbers of `docs/access.md`; its commands are run by `tests/docs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.access.options import USER_PATTERN, parse_access

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()


def test_the_numbers_of_the_page() -> None:
    access = parse_access({"users": {"alice": {"role": "operator"}}}, lambda key, text: pytest.fail(text))
    assert access is not None
    assert f"may ask {access.requests_per_s} times a second, {access.burst} at once" in PAGE
    assert f"the daemon's account (`{access.daemon}`)" in PAGE.lower()
    assert USER_PATTERN == r"[a-z0-9_-]{1,24}"
    assert "1 to 24 characters out of `a-z 0-9 _ -`" in PAGE
