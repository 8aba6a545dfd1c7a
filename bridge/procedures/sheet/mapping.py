"""`sheet-map`: the whole of it, from the files to the result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from bridge.analysis.sheet import limits as limit_tables
from bridge.analysis.sheet.alignment import Alignment, Point, align
from bridge.analysis.sheet.bins import Bins
from bridge.analysis.sheet.limits import Limits
from bridge.analysis.sheet.positions import Place
from bridge.analysis.sheet.statistics import columns_of
from bridge.procedures.common import instrument, source_off_afterwards
from bridge.procedures.context import Context, Question
from drivers.errors import PicobridgeError, Refused
from drivers.uninterrupted import to_the_end

from .book_keeping import Keeping
from .crosstalk import listen
from .fit import Fitter
from .judge import Judge
from .layout import Layout, Mark, parse_layout
from .measuring import Meter
from .parameters import SheetMap, content_of, read_tables, write_frozen
from .pipeline import Pipeline
from .planning import Landing, pilots, plan, without
from .records import Book
from .result import describe_alignment, limits_drift, sheet_result, time_used
from .rig import Carrier, Channel, Rig, assemble

Landings = Mapping[str, list[Landing]]


async def run(context: Context, parameters: SheetMap) -> dict[str, Any]:
    """The map. Raises `InvalidValue`, `Refused` or `Unsupported` before anything moves or is energised."""
    layout, bins, limits, fitter = await asyncio.to_thread(_read, parameters)
    bins.check(limits, fitter.names if fitter is not None else ())
    rig = assemble(context, layout, parameters)
    book, limits = _resumed(context, layout, limits)
    judge = Judge(bins, limits, parameters, fitter.names if fitter is not None else ())
    wanted = [cell.place for cell in layout.cells if cell.place not in layout.skipped]
    keeping = Keeping(context, judge, book, parameters, len(wanted), layout)
    alignment = await _aligned(context, layout, rig.carriers[0], keeping)
    landings = await asyncio.to_thread(plan, layout, wanted, alignment, rig.reaches)
    for carrier in rig.carriers:
        carrier.mover.check(landing.target_m for landing in landings[carrier.head.name])
    pipeline = Pipeline(context, rig, Meter(parameters, judge), fitter, keeping, parameters)
    mapping = _Mapping(context, parameters, layout, rig, keeping, pipeline, alignment)
    async with AsyncExitStack() as stack:
        for channel in rig.channels.values():
            await stack.enter_async_context(source_off_afterwards(context, channel.potentiostat))
        await rig.keeper.start(rig.resources)
        try:
            await mapping.carry_out(landings)
        except BaseException:
            await _keep(context, keeping)
            raise
    await keeping.saved()
    await keeping.save()
    return await mapping.result()


def _read(parameters: SheetMap) -> tuple[Layout, Bins, Limits, Fitter | None]:
    layout = parse_layout(*content_of(parameters.sheet, "sheet"))
    bins, limits = read_tables(parameters, layout.lot)
    fitter = Fitter(parameters.fit_circuit, parameters.fit_guess) if parameters.fit_circuit else None
    return layout, bins, limits, fitter


def _resumed(context: Context, layout: Layout, limits: Limits) -> tuple[Book, Limits]:
    """What an interrupted run had. Raises `Refused` if that was of another sheet."""
    saved = context.saved
    if not saved:
        return Book(), limits
    if saved.get("sheet") != layout.sheet:
        raise Refused(
            f"the run that is to be resumed measured the sheet {saved.get('sheet')!r}, and this is {layout.sheet!r}",
            hint="Start a new run for another sheet.",
        )
    if limits.missing and saved.get("limits"):
        limits = limit_tables.loads(str(saved["limits"]), "the interrupted run's limits")
    return Book.from_text(str(saved.get("records", ""))), limits


async def _keep(context: Context, keeping: Keeping) -> None:
    """What was measured, whatever ended the run; that it cannot be kept does not hide why the run ended."""
    try:
        await to_the_end(keeping.save())
    except PicobridgeError as error:
        context.note(f"what was measured could not be kept for a resume: {error}")


async def _aligned(context: Context, layout: Layout, carrier: Carrier, keeping: Keeping) -> Alignment:
    """From the marks; the operator is asked to go to those that nobody has seen. Raises `Refused` for a mark that
    cannot be right."""
    if not layout.marks:
        return Alignment.identity()
    before = context.saved.get("marks_m")
    seen = [tuple(point) for point in before] if before else [await _seen(context, m, carrier) for m in layout.marks]
    alignment = align([mark.design_m for mark in layout.marks], seen)
    if alignment.distortion_m > layout.distortion_limit_m:
        raise Refused(
            f"the marks are {alignment.distortion_m * 1e6:.0f} um off a sheet that is only shifted, turned and scaled; "
            f"at most {layout.distortion_limit_m * 1e6:.0f} um is accepted (scale {alignment.scale[0]:.5f} and "
            f"{alignment.scale[1]:.5f}, shear {alignment.shear_deg:.3f} deg)",
            hint="One of the marks was probably mistaken for another; nothing was moved. Look at all of them again.",
        )
    keeping.extra["marks_m"] = [list(point) for point in seen]
    return alignment


async def _seen(context: Context, mark: Mark, carrier: Carrier) -> Point:
    if mark.seen_m is not None:
        return mark.seen_m
    x_mm, y_mm = mark.design_m[0] * 1e3, mark.design_m[1] * 1e3
    answer = await context.ask(
        Question(
            f"Bring {carrier.head.name} to the mark at x {x_mm:g} mm, y {y_mm:g} mm of the sheet, probes up.",
            choices=("it is there", "give up"),
        )
    )
    if answer.choice == "give up":
        raise Refused("the marks were not found, so the cells' places are not known")
    return await carrier.mover.position()


class _Mapping:
    def __init__(
        self,
        context: Context,
        parameters: SheetMap,
        layout: Layout,
        rig: Rig,
        keeping: Keeping,
        pipeline: Pipeline,
        alignment: Alignment,
    ) -> None:
        self._context, self._p, self._layout, self._rig = context, parameters, layout, rig
        self._keeping, self._pipeline, self._alignment = keeping, pipeline, alignment
        self._crosstalk: dict[str, Any] | None = None
        self._before: dict[str, dict[str, float]] = {}
        self._elapsed_s = 0.0
        self._measured_before = len(keeping.book.records)
        self._stop: dict[str, Any] | None = None

    async def carry_out(self, landings: Landings) -> None:
        await self._listen(landings)
        self._before = {resource.name: dict(resource.busy_s) for resource in self._rig.resources}
        judge = self._keeping.judge
        if not judge.ready:
            self._keeping.step = "pilot cells"
            await self._phase(pilots(landings, self._p.pilot_cells))
            await self._make_limits()
        self._keeping.step = "measuring"
        await self._phase(landings)
        for number in range(self._p.retests):
            again = self._to_retest()
            if not again or self._stop is not None:
                break
            self._keeping.step = f"retest {number + 1}"
            avoid = {place: self._keeping.book.sites_of(place) for place in again}
            await self._phase(plan(self._layout, again, self._alignment, self._rig.reaches, avoid), retest=True)

    async def _phase(self, landings: Landings, *, retest: bool = False) -> None:
        """All of it, over pauses, until it is done or stopped."""
        left = {name: list(line) for name, line in landings.items()}
        done_before = frozenset() if retest else self._done()
        while self._stop is None:
            left = without(left, done_before if retest else self._done())
            if not any(left.values()):
                return
            began, made = self._rig.elapsed_s, len(self._keeping.book.records)
            await self._pipeline.run(left)
            ended = self._rig.elapsed_s
            self._elapsed_s += ended - began
            self._keeping.phase_done(self._elapsed_s)
            for resource in self._rig.resources:
                await resource.wait_until(ended)
            done_before = done_before | {r.place for r in self._keeping.book.records[made:]}
            if self._keeping.stopped is not None:
                await self._stopped()
            elif self._context.pausing:
                await self._keeping.saved()
                await self._keeping.save()
                await self._context.pause_point()
            elif len(self._keeping.book.records) == made:
                raise Refused("the measuring was stopped from outside the run", hint="Resume the run to go on.")

    async def _stopped(self) -> None:
        """A stop rule has found something: the heads are up and the sources off."""
        reason = self._keeping.stopped
        assert reason is not None
        self._context.note(f"stopped: {reason['text']}", rule=reason["rule"])
        if self._p.on_stop == "ask":
            question = Question(f"{reason['text']}. What now?", choices=("end", "go on"), details=reason)
            answer = await self._context.ask(question)
            if answer.choice == "go on":
                self._keeping.rules.forget()
                return
        self._stop = reason

    def _done(self) -> frozenset[Place]:
        """Cells that were measured; one whose record failed is tried again by a resumed run."""
        first, book = self._measured_before, self._keeping.book
        return frozenset(
            place for place, index in book.standing.items() if not book.records[index].error or index >= first
        )

    def _to_retest(self) -> list[Place]:
        bins = self._keeping.judge.bins
        return [
            record.place
            for record in self._keeping.book.current()
            if (bins.by_soft[record.soft].retest or record.error) and record.visit <= self._p.retests
        ]

    async def _make_limits(self) -> None:
        """From the pilot cells; frozen for the lot."""
        keeping, layout = self._keeping, self._layout
        judge = keeping.judge
        values = columns_of([record.values for record in keeping.book.current()], judge.limits.missing)
        origin = {"lot": layout.lot, "sheet": layout.sheet, "run": self._context.run}
        limits = judge.limits.completed(values, origin)
        provenance = {
            **{"recipe" if key == "source" else key: value for key, value in limits.provenance.items()},
            "lot": layout.lot,
            "source": f"pilot cells of sheet {layout.sheet!r}, run {self._context.run}",
            "made_utc": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        judge.limits = Limits(limits.limits, limits.constants, limits.recipes, provenance)
        keeping.judge_all()
        if self._p.frozen_limits:
            await asyncio.to_thread(write_frozen, self._p.frozen_limits, judge.limits)
            self._context.note(f"the limits of lot {layout.lot!r} are frozen in {self._p.frozen_limits}")

    async def _listen(self, landings: Landings) -> None:
        """Cross-talk, on the first landing of each head, by channels that can be connected together."""
        if not self._p.check_crosstalk or self._p.impedance == "never":
            return
        firsts = [(c, landings[c.head.name][0]) for c in self._rig.carriers if landings[c.head.name]]
        routes = {site.route for _, landing in firsts for site, _ in landing.cells if site.route}
        route = min(routes, default="")
        names = dict.fromkeys(
            site.channel for _, landing in firsts for site, _ in landing.cells if site.route in ("", route)
        )
        if len(names) < 2:
            return
        self._context.progress("cross-talk", 0.0)
        for carrier, landing in firsts:
            await carrier.mover.land(landing.target_m)
            await carrier.resource.clock.sleep(self._p.settle_s)
        if route and self._rig.multiplexer is not None:
            await self._rig.multiplexer.feedthrough.select(route)
        for resource in self._rig.resources:
            await resource.wait_until(self._rig.elapsed_s)
        channels: list[Channel] = [self._rig.channels[name] for name in names]
        found = self._crosstalk = await listen(self._rig, channels, self._p)
        for resource in self._rig.resources:
            await resource.wait_until(self._rig.elapsed_s)
        if not found["passed"] and not self._pipeline.staggered:
            self._pipeline.staggered = True
            self._context.note(
                f"the channels hear each other through the sheet ({found['worst_v'] * 1e6:.0f} uV): their impedances "
                "are measured one at a time, and the map takes longer. Do the channels float?",
                crosstalk=found,
            )

    async def result(self) -> dict[str, Any]:
        keeping = self._keeping
        judge, book = keeping.judge, keeping.book
        self._context.progress("evaluating", 1.0)
        mapped = await asyncio.to_thread(sheet_result, self._layout, judge, book, self._p)
        made = len(book.records) - self._measured_before
        stop = self._stop
        return {
            "procedure": "sheet-map",
            "verdict": "completed" if stop is None else "stopped",
            "completed": stop is None,
            "reason": "every cell that was not skipped has a record" if stop is None else stop["text"],
            "stop": stop,
            **mapped,
            "time": time_used(self._rig, self._pipeline.touchdowns, self._elapsed_s, made, self._before),
            "limits_drift_mad": limits_drift(judge.limits, mapped["statistics"]["sheet"]),
            "crosstalk": self._crosstalk,
            "staggered": self._pipeline.staggered,
            "alignment": describe_alignment(self._alignment),
            "operator": self._p.operator,
            "instruments": [instrument(channel.potentiostat) for channel in self._rig.channels.values()],
        }
