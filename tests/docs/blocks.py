"""What stands in the fences of a page: commands with what they are said to print, programs, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

#: What is run, read as a file, or checked by a test of its own.
RUN = ("console", "sh", "python", "toml")
#: What nobody can run: shown output, payloads, the site's own directives.
SHOWN = ("text", "json", "cbor", "js", "{toctree}")

_FENCE = re.compile(r"^( *)(```+)(\S*)\s*$")
_FILE = re.compile(r"`([\w.-]+\.(?:toml|py))`:$")


@dataclass(frozen=True)
class Command:
    """`shown` are the lines that the page prints below it."""

    line: int
    text: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """`file` is the name by which the text before it calls what is in it ("write `lab.toml`:")."""

    line: int
    language: str
    text: str
    file: str = ""

    def commands(self) -> Iterator[Command]:
        """Of a `console` block the lines after `$`, of `sh` all; lines that end with a backslash go on."""
        lines = self.text.splitlines()
        number = 0
        while number < len(lines):
            first, line = number, lines[number]
            number += 1
            prompted = line.startswith("$ ")
            if self.language == "console" and not prompted:
                continue
            command = line.removeprefix("$ ")
            while command.endswith("\\"):
                command = f"{command[:-1].rstrip()} {lines[number].strip()}"
                number += 1
            shown = []
            while self.language == "console" and number < len(lines) and not lines[number].startswith("$ "):
                shown.append(lines[number])
                number += 1
            if command.strip() and not command.startswith("#"):
                yield Command(self.line + 1 + first, command, tuple(shown))


def blocks(text: str) -> Iterator[Block]:
    """Raises `ValueError` for a fence without a language: nobody could tell what is to be done with it."""
    lines = iter(enumerate(text.splitlines(), 1))
    before = ""
    for number, line in lines:
        if not (match := _FENCE.match(line)):
            before = line.strip() or before
            continue
        indent, fence, language = match.groups()
        if not language:
            raise ValueError(f"line {number}: a fence without a language; accepted: {', '.join((*RUN, *SHOWN))}")
        inside = []
        for _, inner in lines:
            if inner.strip() == fence:
                break
            inside.append(inner.removeprefix(indent))
        named = _FILE.search(before)
        yield Block(number, language, "\n".join(inside) + "\n", named[1] if named else "")
        before = ""


@dataclass(frozen=True)
class NotRun:
    """A row of the table of `docs/tested.md`."""

    page: str
    command: str
    why: str


_ROW = re.compile(r"^\| `([\w./-]+)` \| `(.+?)` \| (.+?) \|$")


def not_run() -> list[NotRun]:
    found = []
    for line in (DOCS / "tested.md").read_text(encoding="utf-8").splitlines():
        if match := _ROW.match(line):
            found.append(NotRun(match[1], match[2].replace(r"\|", "|"), match[3]))
    return found


def pages() -> list[Path]:
    """Of the documentation, without those that are made out of the code's own texts."""
    made = DOCS / "reference"
    return [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if made not in path.parents)]
