"""Files of a configuration that are there and are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.daemon.config import load
from drivers.errors import ConfigurationError


def test_certificates_are_loaded_when_the_file_is_checked(tmp_path: Path) -> None:
    for name in ("ca.pem", "daemon.pem", "daemon.key"):
        (tmp_path / name).write_text("garbage")
    file = tmp_path / "lab.toml"
    lines = ["[broker]", 'url = "mqtts://broker"', 'ca = "ca.pem"', 'cert = "daemon.pem"', 'key = "daemon.key"']
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError) as wrong:
        load(file)
    problems = "\n".join(wrong.value.detail["problems"])
    assert "broker.ca is 'ca.pem', which holds no certificate" in problems
    assert "broker.cert is 'daemon.pem', which cannot be used with its key" in problems
