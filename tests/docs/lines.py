"""What a line on a page is: whose command, going on for how long, a failure that is wanted."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Callable

from bridge.cli import main as program
from drivers import errors
from drivers.errors import PicobridgeError

from .blocks import ROOT

#: Whoever types these ends them by Ctrl-C.
ENDLESS = re.compile(r"^(picobridge (monitor(?!.*--count)|record)|mosquitto_sub(?!.* -[CW])|tail -f|journalctl.*-f)")
PATH_TO_PROGRAM = re.compile(r"(\S*/bin/picobridge|\"\$\(command -v picobridge\)\")(?= )")
REMARK = re.compile(r"\s+# .*$")
#: What only a real shell understands.
SHELL = re.compile(r"[|;<>$`*]|&&")


class AwaitedInstead(ast.NodeTransformer):
    """`asyncio.run(x)` as `await x`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) == "asyncio.run":
            return ast.Await(node.args[0])
        return self.generic_visit(node)


def tells_of_failure(line: str) -> bool:
    """Whether the first line that a page shows is an error, or the heading of a result that is none to go on with."""
    if re.search(r"  (NO-GO|FAIL|NOT FOUND|INCONCLUSIVE)$", line):
        return True
    cls = getattr(errors, line.partition(":")[0], None)
    return inspect.isclass(cls) and issubclass(cls, PicobridgeError)


def parsed(command: str) -> Callable[[], object] | None:
    """For a command that is not run: what checks that it could be; None for other people's programs."""
    line = REMARK.sub("", PATH_TO_PROGRAM.sub("picobridge", command)).removeprefix("sudo ").removesuffix("&")
    words = shlex.split(line.partition(" | ")[0])
    if words[0] == "picobridge":
        return lambda: program.build_parser(words[1]).parse_args(program._joined(words[1:]))
    if words[0] == "make":
        targets = (ROOT / "Makefile").read_text(encoding="utf-8").partition(".PHONY:")[2].splitlines()[0].split()
        return lambda: targets.index(next(word for word in words[1:] if "=" not in word))
    return None
