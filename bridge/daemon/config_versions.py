"""Configuration files of earlier versions, brought to this one; files of later ones are refused.

A file may say `version = 1` at its top; without it, it is of version 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.errors import ConfigurationError

Content = dict[str, Any]
Step = Callable[[Content], Content]

#: The n-th makes content of version n + 1 out of version n. Version 1 is the only one so far.
STEPS: tuple[Step, ...] = ()


def upgrade(content: Mapping[str, Any], source: str, steps: Sequence[Step] = STEPS) -> Content:
    """What the file `source` says, in this version's words and without its `version`.

    Raises `ConfigurationError` for a file of a later version, and for a version that is none.
    """
    newest = len(steps) + 1
    upgraded = dict(content)
    version = upgraded.pop("version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        text = f"{source}: version is {version!r:.100}; accepted: a whole number from 1 to {newest}"
        raise ConfigurationError(text, problems=[text])
    if version > newest:
        text = f"{source}: version is {version}; this picobridge knows configurations up to version {newest}"
        hint = "Use the picobridge that the file was written for, or write it for this one: see `picobridge check`."
        raise ConfigurationError(text, hint=hint, problems=[text], version=version, known=newest)
    for step in steps[version - 1 :]:
        upgraded = step(upgraded)
    return upgraded
