"""Every command and its options, out of the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from bridge.cli.broker_arguments import add_broker_arguments
from bridge.cli.main import build_parser
from bridge.procedures.registry import PROCEDURES

from .markdown import code, plain, sentence, table

_INTRODUCTION = """\
# Commands

`picobridge COMMAND --help` says the same. Exit status: 0 done, 1 an error that was printed (or a test that did not
pass), 2 wrong usage, 130 and 143 ended by Ctrl-C and SIGTERM. Those that print a result print it as JSON with `--json`.
The commands of the experiments have a page of their own: [procedures](procedures.md).

"""

_SHARED = """\
## Broker and bridge

"""

_HELP = ("-h", "--help")


def text() -> str:
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    known = {name: command for name, command in commands.choices.items() if name not in PROCEDURES}
    index = table(("command", "what it does"), [(f"[{name}](#{name})", plain(summaries[name])) for name in known])
    shared = _shared()
    sections = [_section(name, command, summaries[name], shared) for name, command in known.items()]
    return _INTRODUCTION + index + "".join(sections) + _SHARED + _table(list(shared.values()))


def _shared() -> dict[str, argparse.Action]:
    """What every command takes that talks to a running bridge, by its first name."""
    parser = argparse.ArgumentParser(add_help=False)
    add_broker_arguments(parser)
    return {action.option_strings[0]: action for action in parser._actions if action.dest != "json"}


def _section(name: str, parser: argparse.ArgumentParser, summary: str, shared: Mapping[str, argparse.Action]) -> str:
    said = parser.description or summary
    usage = f"```text\npicobridge {name} {' '.join(_usage(parser))}".rstrip() + "\n```"
    own = [action for action in parser._actions if not ({*shared, *_HELP} & set(action.option_strings))]
    talks = any(set(shared) & set(action.option_strings) for action in parser._actions)
    also = "Also takes the options for [broker and bridge](#broker-and-bridge).\n\n" if talks else ""
    epilog = f"```text\n{parser.epilog.rstrip()}\n```\n\n" if parser.epilog else ""
    return f"## {name}\n\n{plain(sentence(said))}\n\n{usage}\n\n{_table(own)}{also}{epilog}"


def _table(actions: Sequence[argparse.Action]) -> str:
    return table(
        ("argument", "default", "what it is"),
        [(code(_written(action)), _default(action), plain(_help(action))) for action in actions],
    )


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    """What is needed, and where the rest goes."""
    actions = [action for action in parser._actions if not set(_HELP) & set(action.option_strings)]
    optional = [action for action in actions if action.option_strings and not action.required]
    yield from ([_written(action) for action in actions if action.option_strings and action.required])
    if optional:
        yield "[OPTIONS]"
    for action in actions:
        if not action.option_strings:
            word = _metavar(action)
            yield {None: word, "?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} ..."}.get(
                action.nargs if not isinstance(action.nargs, int) else None, word
            )


def _written(action: argparse.Action) -> str:
    if not action.option_strings:
        return _metavar(action)
    takes = "" if action.nargs == 0 else f" {_metavar(action)}"
    return ", ".join(f"{option}{takes}" for option in action.option_strings)


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return f"{{{','.join(map(str, action.choices))}}}"
    return str(action.metavar or action.dest.upper().replace("_", "-"))


def _default(action: argparse.Action) -> str:
    """Where the help does not say it: it does where the environment may say otherwise."""
    value = action.default
    said = "default" in (action.help or "") or not action.option_strings or action.nargs == 0
    if said or value in (None, "", [], argparse.SUPPRESS):
        return ""
    return code(str(value))


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
