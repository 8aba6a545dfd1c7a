"""While the cells are measured: each judged and entered, the yield told, what a resume needs kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.analysis.sheet import limits as limit_tables
from bridge.analysis.sheet.statistics import yield_interval
from bridge.procedures.common import Reporter
from bridge.procedures.context import Context

from .judge import Judge, StopRules
from .layout import Layout
from .parameters import SheetMap
from .records import Book, Record
from .showing import Showing

#: kept again when it has grown by this share, so that keeping it costs the same a cell however large the sheet is
_GROWN = 0.03


class Keeping:
    """`stopped` is what a stop rule has found."""

    def __init__(
        self, context: Context, judge: Judge, book: Book, parameters: SheetMap, cells: int, layout: Layout
    ) -> None:
        self.judge = judge
        self.book = book
        self.rules = StopRules(parameters.stop_site_after, parameters.stop_streak_after)
        self.step = "measuring"
        self.extra: dict[str, Any] = {}
        self._context = context
        self._reporter = Reporter(context)
        self._cells = cells
        self._sheet = layout.sheet
        self._showing = Showing(context, layout, judge, book)
        self._passed = 0
        self._judged = 0
        self._kept = len(book.records)
        self._saving: asyncio.Task[None] | None = None
        self._begun = len(book.records)
        if judge.ready:
            self.judge_all()
        else:
            self._showing.all()

    @property
    def stopped(self) -> dict[str, Any] | None:
        return self.rules.reason

    def enter(self, record: Record) -> None:
        """A finished record. Until the limits are there it has no bin."""
        before = self.book.standing.get(record.place)
        if before is not None:
            self._count(self.book.records[before], -1)
        self._judge(record)
        self.book.add(record)
        self._count(record, +1)
        self._showing.newest()
        if self.judge.ready:
            self.rules.take(record, not self.judge.bins.by_soft[record.soft].passes)

    def judge_all(self) -> None:
        """Once the limits are there: what was measured before gets its bins, and counts for the stop rules."""
        self._passed = self._judged = 0
        for record in self.book.records:
            self._judge(record)
            self.rules.take(record, not self.judge.bins.by_soft[record.soft].passes)
        for record in self.book.current():
            self._count(record, +1)
        self._showing.all()

    def landing_done(self, elapsed_s: float) -> None:
        """Tell how far it is, at a pace that people read, and keep what a resume needs, when it has grown enough."""
        self.tell(elapsed_s, self._reporter.maybe)
        grown = len(self.book.records) - self._kept
        if grown >= max(8, _GROWN * len(self.book.records)) and (self._saving is None or self._saving.done()):
            self._saving = asyncio.ensure_future(self.save())

    def phase_done(self, elapsed_s: float) -> None:
        self.tell(elapsed_s, self._reporter.now)

    def tell(self, elapsed_s: float, report: Callable[..., None]) -> None:
        """Counts and yield so far."""
        done = len(self.book.standing)
        low, high = yield_interval(self._passed, self._judged)
        made = len(self.book.records) - self._begun
        rate = made / elapsed_s * 3600 if elapsed_s > 0 else 0.0
        report(
            self.step,
            done / self._cells if self._cells else 1.0,
            cells=done,
            of=self._cells,
            passed=self._passed,
            judged=self._judged,
            **{"yield": self._passed / self._judged if self._judged else None},
            yield_low=low,
            yield_high=high,
            cells_per_hour=rate,
            remaining_s=(self._cells - done) / rate * 3600 if rate else None,
            stopped=self.stopped,
        )

    async def save(self) -> None:
        self._kept = len(self.book.records)
        made = self.judge.limits if self.judge.ready else None
        await self._context.save(
            sheet=self._sheet,
            records="\n".join(self.book.lines),
            limits=None if made is None else limit_tables.dumps(made),
            **self.extra,
        )

    async def saved(self) -> None:
        """Wait for what is being saved; raises what that raised."""
        if self._saving is not None:
            await self._saving
            self._saving = None

    def _judge(self, record: Record) -> None:
        bins = self.judge.bins
        found = bins.untested
        if record.values and self.judge.ready:
            found = self.judge.bin_of(record.values, record.visit)
        record.soft, record.hard = found.soft, found.hard

    def _count(self, record: Record, by: int) -> None:
        """Cells that a bin says something about the cell of: not those that ask for a retest, not the untested."""
        found = self.judge.bins.by_soft.get(record.soft)
        if found is None or found is self.judge.bins.untested or found.retest:
            return
        self._judged += by
        self._passed += by * found.passes
