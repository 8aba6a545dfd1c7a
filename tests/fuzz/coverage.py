"""The coverage-guided engine: libFuzzer through atheris, which is installed by `make fuzz` only."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

from .engine import HANG_S, Examiner
from .target import Target


def fuzz(target: Target, seconds: float, folder: Path, seed: int) -> int:
    """Does not come back: libFuzzer ends the process. Inputs that reached something new are kept in `folder`/corpus,
    and the next run begins with them."""
    examiner = Examiner(target, folder, "atheris")
    _instrument(target)
    grown = folder / "corpus"
    grown.mkdir(exist_ok=True)
    known = [*target.seeds(), *sorted(grown.iterdir())]
    for path in known:
        examiner.look(path.read_bytes())
        examiner.weigh(path.read_bytes())
    words = folder / "tokens.txt"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens), encoding="ascii")
    seeds = sorted({str(path.parent) for path in target.seeds()})
    arguments = [sys.argv[0], f"-max_total_time={max(1, round(seconds))}", f"-max_len={target.limit}", f"-seed={seed}"]
    arguments += [f"-timeout={HANG_S}", "-rss_limit_mb=2500", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    arguments += [f"-dict={words}"] if target.tokens else []
    atheris.Setup([*arguments, str(grown), *seeds], examiner.look)
    atheris.Fuzz()
    return 0


def _instrument(target: Target) -> None:
    """Count the branches of the modules that the target is about, which are imported already."""
    for name in sorted(sys.modules):
        if any(name == each or name.startswith(f"{each}.") for each in target.modules):
            module = importlib.import_module(name)
            for attribute in list(vars(module).values()):
                _instrument_one(attribute, name)


def _instrument_one(attribute: object, module: str) -> None:
    if getattr(attribute, "__module__", None) != module:
        return
    functions = list(vars(attribute).values()) if isinstance(attribute, type) else [attribute]
    for function in functions:
        plain = getattr(function, "__func__", getattr(function, "fget", function))
        if hasattr(plain, "__code__"):
            atheris.instrument_func(plain)


def _escaped(token: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in token)
