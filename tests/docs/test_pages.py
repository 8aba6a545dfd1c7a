"""Every box of every page is run, page by page; `docs/tested.md` says how, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .access import AccessShell
from .blocks import ROOT, RUN, SHOWN, Command, blocks, not_run, pages
from .lines import parsed
from .settings import SETTINGS, Setting
from .shell import Shell

#: Pages that a test of their own runs, with what only it has.
ELSEWHERE = {
    "docs/how-to-read-a-record.md": "tests/record/test_readers.py",
    "docs/several-lab-pcs.md": "tests/fleet/test_docs.py",
}
NAMES = [name for path in pages() if (name := path.relative_to(ROOT).as_posix()) not in ELSEWHERE]
LEFT_OUT = not_run()


@pytest.mark.mosquitto
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("without_debug")
@pytest.mark.parametrize("page", NAMES)
async def test_what_a_page_says_is_so(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell_of = {"docs/access.md": AccessShell}.get(page, Shell)
    async with shell_of(tmp_path, SETTINGS.get(page, Setting()), monkeypatch, capsys) as shell:
        for block in blocks((ROOT / page).read_text(encoding="utf-8")):
            if block.language in ("console", "sh"):
                for command in block.commands():
                    if not left_out(page, command):
                        await shell.command(command)
            elif block.language in RUN and not left_out(page, Command(block.line, block.text)):
                await shell.block(block)
            else:
                assert block.language in (*RUN, *SHOWN), f"line {block.line}: {block.language} is not known"
        shell.judge()


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_a_page_that_is_run_elsewhere_is(page: str, test: str) -> None:
    assert (ROOT / page).is_file()
    assert page.rpartition("/")[2] in (ROOT / test).read_text(encoding="utf-8")
    assert test in (ROOT / "docs" / "tested.md").read_text(encoding="utf-8")


def left_out(page: str, command: Command) -> bool:
    """Whether the table has it; its options are looked at all the same."""
    if not any(row.page == page and command.text.startswith(row.command) for row in LEFT_OUT):
        return False
    if (check := parsed(command.text)) is not None:
        check()
    return True


def test_the_table_has_no_row_too_many() -> None:
    texts = {
        page: [
            command.text
            for block in blocks((ROOT / page).read_text(encoding="utf-8"))
            for command in ([*block.commands()] if block.language in ("console", "sh") else [Command(0, block.text)])
        ]
        for page in NAMES
    }
    unused = [row for row in LEFT_OUT if not any(text.startswith(row.command) for text in texts[row.page])]
    assert unused == []
    assert all(row.why for row in LEFT_OUT)


async def test_what_is_not_so_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that is gone, an option that is gone, an output that has changed, an error that does not come."""
    page = "```console\n$ picobridge drivers\nkeithley-24xx (potentiostat): Keithley ... units\n```\n"
    good, *wrong = (
        page,
        page.replace("drivers", "driver"),
        page.replace("drivers", "drivers --wire serial"),
        page.replace("(potentiostat)", "(stage)"),
        page.replace("keithley-24xx", "InvalidValue: keithley-24xx"),
        page.replace("console", "python").replace("$ ", "import "),
        "```toml\n[bridge]\nnmae = 'lab'\n```\n",
        "```toml\n[[step]]\ndo = 'charge'\n```\n",
    )
    async with Shell(tmp_path, Setting(), monkeypatch, capsys) as shell:
        for block in blocks(good):
            await shell.block(block)
        for text in wrong:
            with pytest.raises((AssertionError, SystemExit, SyntaxError, ValueError)):
                await shell.block(next(blocks(text)))


def test_the_options_of_what_is_not_run_are_looked_at() -> None:
    for text in ("sudo picobridge install-host --nonsense lab.toml", "/opt/bin/picobridge dico", "make everything"):
        check = parsed(text)
        assert check is not None
        with pytest.raises((SystemExit, ValueError)):
            check()
    assert parsed("sudo usermod --append") is None


def test_a_box_without_a_language_is_found() -> None:
    with pytest.raises(ValueError, match="line 1: a fence without a language"):
        list(blocks("```\n$ picobridge stop\n```\n"))
