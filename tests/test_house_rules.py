"""Rules of this repository that a reader of one file cannot see broken, and ruff does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"

#: Files whose sleeps wait for nothing that may take longer on another day, and why.
SLEEPS = {
    "tests/fuzz/wire.py": "on a loop whose time passes only when everybody waits",
    "tests/soak/clock.py": "simulated time, and how long something stays broken; nothing is expected to have happened",
    "tests/safety_machine/machine.py": "on a loop whose time passes only while nothing comes over the wires",
    "tests/safety_machine/virtual_time.py": "the clock of that loop",
    "tests/bridge/test_pump.py": "timers of one loop fire in the order of their times",
    "tests/bridge/test_mqtt.py": "gives up after different times; whatever has been reached by then, it must succeed",
}
#: A task that sleeps this long is there to be cancelled.
FOREVER_S = 60

_PERCENT_F = re.compile(r"%[-+ #0]*(\d+|\*)?(\.(\d+|\*))?[fF]")
_BRACE_F = re.compile(r"\{[^{}]*:[^{}]*[fF%]\}")
#: Without digits it is exact for a Decimal.
_FORMAT_F = re.compile(r"\d[fF%]$")

Finding = tuple[ast.AST, str]


def test_small_quantities_are_compared_relatively() -> None:
    """approx and isclose accept zero for a picoampere, by absolute tolerances that nobody wrote."""
    assert broken(TESTS, hidden_tolerances, but=(TESTS / "near.py",)) == []


def test_nothing_is_waited_for_by_sleeping() -> None:
    """A sleep inside a `while` looks again for a condition; one of zero seconds lets others run."""
    found = broken(TESTS, sleeps)
    assert [text for text in found if text.split(":")[0] not in SLEEPS] == []
    assert set(SLEEPS) == {text.split(":")[0] for text in found} & set(SLEEPS), "an exception that nothing needs"


def test_no_test_is_switched_off() -> None:
    assert broken(TESTS, switched_off, but=(Path(__file__),)) == []


def test_no_chance_without_a_seed() -> None:
    assert [text for room in ("tests", "mocks") for text in broken(ROOT / room, unseeded)] == []


def test_drivers_never_write_a_number_with_fixed_decimals() -> None:
    """A picoampere written with six decimals is zero."""
    assert broken(ROOT / "drivers", fixed_decimals) == []


def test_the_tests_of_a_driver_know_no_broker() -> None:
    assert [text for room in ("drivers", "transports") for text in broken(TESTS / room, imports_of("bridge"))] == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("hidden_tolerances", "assert current_a == pytest.approx(1e-12, rel=0.01)"),
        ("hidden_tolerances", "from pytest import approx"),
        ("hidden_tolerances", "assert np.allclose(block['current_a'], 1e-12)"),
        ("hidden_tolerances", "assert np.isclose(a, b, rtol=0.01).all()"),
        ("sleeps", "async def test() -> None:\n    await asyncio.sleep(0.1)"),
        ("sleeps", "time.sleep(seconds)"),
        ("switched_off", "pytest.skip('later')"),
        ("switched_off", "@pytest.mark.xfail(reason='flaky')\ndef test() -> None: ..."),
        ("switched_off", "np = pytest.importorskip('numpy')"),
        ("unseeded", "rng = np.random.default_rng()"),
        ("unseeded", "noise = np.random.normal(size=3)"),
        ("unseeded", "dice = random.Random()"),
        ("fixed_decimals", "text = f'{current_a:.3f}'"),
        ("fixed_decimals", "text = f'{current_a:{width}.3f}'"),
        ("fixed_decimals", "text = 'SOUR:CURR %.9f' % current_a"),
        ("fixed_decimals", "text = 'SOUR:CURR {:.9f}'.format(current_a)"),
        ("fixed_decimals", "text = format(current_a, '.9f')"),
    ],
)
def test_a_broken_rule_is_found(rule: str, source: str) -> None:
    assert list(globals()[rule](ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("hidden_tolerances", "assert np.allclose(a, b, rtol=0, atol=1e-15)"),
        ("hidden_tolerances", "np.testing.assert_allclose(a, b, rtol=1e-9)"),
        ("sleeps", "async def until() -> None:\n    while not done():\n        await asyncio.sleep(0.005)"),
        ("sleeps", "async def turn() -> None:\n    await asyncio.sleep(0)"),
        ("sleeps", "task = asyncio.create_task(asyncio.sleep(3600))"),
        ("sleeps", "async def wait() -> None:\n    await clock.sleep(5)"),
        ("unseeded", "rng = np.random.default_rng(7)"),
        ("unseeded", "random.seed(0)"),
        ("fixed_decimals", "text = f'{current_a:.9e} {word!r} {count:>5} {name:f<9}'"),
        ("fixed_decimals", "text = '%.9e of %s' % (current_a, name)"),
    ],
)
def test_a_kept_rule_is_left_alone(rule: str, source: str) -> None:
    assert not list(globals()[rule](ast.parse(source)))


def broken(folder: Path, rule: Callable[[ast.AST], Iterator[Finding]], but: tuple[Path, ...] = ()) -> list[str]:
    """Where the sources of a folder break a rule: `file:line: text`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        if path not in but and "node_modules" not in path.parts:
            tree = ast.parse(path.read_bytes())
            name = path.relative_to(ROOT).as_posix()
            found += [f"{name}:{getattr(node, 'lineno', 0)}: {text}" for node, text in rule(tree)]
    return found


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression, as far as it is made of names."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def hidden_tolerances(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        imported = isinstance(node, ast.ImportFrom) and any(alias.name == "approx" for alias in node.names)
        if imported or (isinstance(node, ast.Attribute) and node.attr == "approx"):
            yield node, "compare with near() of tests/near.py"
    for call, name in calls(tree):
        given = {keyword.arg for keyword in call.keywords}
        if name.split(".")[-1] in {"allclose", "isclose"} and not name.startswith("math.") and "atol" not in given:
            yield call, f"{name} without atol allows 1e-8: use near() of tests/near.py"


def sleeps(tree: ast.AST) -> Iterator[Finding]:
    looking_again = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.While) for inner in ast.walk(node)
    }  # fmt: skip
    for call, name in calls(tree):
        if name not in {"asyncio.sleep", "time.sleep"} or id(call) in looking_again:
            continue
        seconds = call.args[0] if call.args else None
        constant = seconds.value if isinstance(seconds, ast.Constant) else None
        if not (isinstance(constant, int | float) and (constant == 0 or constant >= FOREVER_S)):
            yield call, f"{name}: wait for an event or a condition"


def switched_off(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name in {"skip", "skipif", "skipIf", "skipTest", "skipUnless", "xfail", "importorskip"}:
                yield node, name


def unseeded(tree: ast.AST) -> Iterator[Finding]:
    for call, name in calls(tree):
        makes_one = name.split(".")[-1] in {"default_rng", "Random"}
        if makes_one and not call.args and not call.keywords:
            yield call, f"{name} without a seed"
        elif name.startswith("np.random.") and not makes_one and name.split(".")[-1][0].islower():
            yield call, f"{name}: numpy's global generator"


def fixed_decimals(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            end = node.format_spec.values[-1] if node.format_spec.values else None
            if isinstance(end, ast.Constant) and re.search(r"(^|[\d.])[fF%]$", str(end.value)):
                yield node, "fixed decimals in an f-string"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and _matches(node.left, _PERCENT_F):
            yield node, "fixed decimals by %"
        elif isinstance(node, ast.Call):
            by_method = isinstance(node.func, ast.Attribute) and node.func.attr == "format"
            if by_method and isinstance(node.func, ast.Attribute) and _matches(node.func.value, _BRACE_F):
                yield node, "fixed decimals by str.format"
            elif dotted(node.func) == "format" and len(node.args) > 1 and _matches(node.args[1], _FORMAT_F):
                yield node, "fixed decimals by format()"


def imports_of(package: str) -> Callable[[ast.AST], Iterator[Finding]]:
    def rule(tree: ast.AST) -> Iterator[Finding]:
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if any(name.split(".")[0] == package for name in names):
                yield node, f"imports {package}"

    return rule


def _matches(node: ast.AST, pattern: re.Pattern[str]) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(pattern.search(node.value))
