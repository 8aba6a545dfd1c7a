"""What a fuzz target is, and what it holds every parser to."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bridge.transfer.messages import load_object
from bridge.transfer.plain import dumps
from drivers.errors import PicobridgeError

CORPUS = Path(__file__).parent / "corpus"

#: What a parser may allocate beside its share of the input: the error with its stack, its own objects.
_ALLOCATION_BASE = 300_000
#: What an error may say about an input: each byte written as an escape sequence, in a text within a text.
_WORDS_PER_BYTE = 16
_WORDS_BASE = 20_000


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `run` hands it the bytes, and raises `AssertionError` if what comes out of it contradicts itself.

    `errors` are those that the parser's docstring declares; whatever else it raises is a finding. `bytes_per_byte` is
    the most that it may allocate for each byte of input. `limit` is how long inputs are made. `tokens` help to find
    them; `modules` are what the coverage is of.
    """

    name: str
    run: Callable[[bytes], None]
    errors: tuple[type[PicobridgeError], ...]
    modules: tuple[str, ...]
    bytes_per_byte: int = 60
    limit: int = 4096
    tokens: tuple[bytes, ...] = field(default=())

    @property
    def longest(self) -> int:
        """What may come at once: a request of 64 kB, or more than any instrument's line."""
        texts = ("bridge.", "drivers.quantities", "drivers.fields", "drivers.calls")
        return 64 * 1024 if any(module.startswith(texts) for module in self.modules) else 4096

    def check(self, data: bytes) -> None:
        """Raises whatever is wrong with what the parser makes of `data`; nothing if it does as it should."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                self.run(data)
            except self.errors as error:
                check_error(error, len(data))

    def allocation(self, data: bytes) -> int:
        """Bytes that the parser holds at most at a time while it works on `data`."""
        tracemalloc.start()
        try:
            self.check(data)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def allowed(self, size: int) -> int:
        """Bytes that an input of that size may cost."""
        return _ALLOCATION_BASE + self.bytes_per_byte * size

    def seeds(self) -> list[Path]:
        """The stored inputs, in a fixed order."""
        return sorted(path for path in (CORPUS / self.name).iterdir() if path.is_file())


def check_error(error: PicobridgeError, size: int) -> None:
    """A declared error says something, not too much, and reaches a client through a message unharmed."""
    assert error.message, "an error without a message"
    sent = dumps(error.to_dict())
    assert len(sent) <= _WORDS_BASE + _WORDS_PER_BYTE * size, f"{size} bytes of input, {len(sent)} bytes of error"
    assert isinstance(json.loads(sent), dict)
    back = PicobridgeError.from_dict(load_object(sent))
    assert type(back) is type(error), f"{type(error).__name__} came back as {type(back).__name__}"
    assert back.to_dict() == json.loads(sent)
