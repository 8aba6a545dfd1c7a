"""The picture and the table of the health watch's rates."""

from typing import Any


def draw(result: dict[str, Any]) -> None: ...
def update(result: dict[str, Any]) -> None: ...
