"""Each argument of a proxy's method reaches the driver's method under its own name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from bridge.client import Lab
from bridge.client.proxies import PROXIES, Proxy

#: what runs a technique or streams is tested with a daemon; connecting is the daemon's
_ELSEWHERE = {"run", "stream", "connect", "close"}


class Asked(Exception):
    pass


class FakeLab:
    """Notes the call and answers nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []

    async def call(self, device: str, method: str, arguments: Mapping[str, Any] | None = None) -> Any:
        self.calls.append((device, method, dict(arguments or {})))
        raise Asked


def methods() -> Iterator[tuple[type[Proxy], str]]:
    for proxy in PROXIES.values():
        for name, member in {**vars(Proxy), **vars(proxy)}.items():
            if inspect.iscoroutinefunction(member) and not name.startswith("_") and name not in _ELSEWHERE:
                yield proxy, name


@pytest.mark.parametrize(
    ("proxy", "method"), [pytest.param(*found, id=f"{found[0].interface}.{found[1]}") for found in methods()]
)
async def test_arguments_are_passed_by_their_names(proxy: type[Proxy], method: str) -> None:
    lab = FakeLab()
    call = getattr(proxy(cast(Lab, lab), "it", {}), method)
    arguments = {name: f"{number} um" for number, name in enumerate(inspect.signature(call).parameters)}
    with pytest.raises(Asked):
        await call(**arguments)
    assert lab.calls == [("it", method, arguments)]
