"""Which head lands where: every cell under some probe, in an order that makes short ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bridge.analysis.sheet.alignment import Alignment, Point
from bridge.analysis.sheet.positions import Place

from .layout import Head, Layout, Site


@dataclass(frozen=True, slots=True)
class Landing:
    """One landing of a head: where (stage coordinates), and which cell is under which of its sites."""

    head: str
    target_m: Point
    cells: tuple[tuple[Site, Place], ...]


def plan(
    layout: Layout,
    wanted: Iterable[Place],
    alignment: Alignment,
    reaches: Callable[[str, Point], bool] = lambda head, target: True,
    avoid: Mapping[Place, frozenset[int]] | None = None,
) -> dict[str, list[Landing]]:
    """Landings by head that measure the `wanted` cells once each.

    Rows are shared out among the heads in bands, so that the heads keep apart. `reaches` says whether a head can go to
    a target: another probe may take a cell that one at the edge cannot; one that none can take is planned all the same,
    for `Mover.check` to refuse. `avoid` names sites (by number) that a
    cell should not meet again: another probe tells a bad cell from a bad probe. Where a head has no other, it does.
    """
    bands = _bands(sorted(set(wanted)), len(layout.heads))
    return {
        head.name: _cover(layout, head, band, alignment, reaches, avoid or {})
        for head, band in zip(layout.heads, bands, strict=True)
    }


def _bands(places: Sequence[Place], count: int) -> list[list[Place]]:
    """As many bands of whole rows with about the same number of cells each."""
    bands: list[list[Place]] = [[] for _ in range(count)]
    done = 0
    for _, cells in groupby(places, key=lambda place: place[0]):
        row = list(cells)
        middle = done + len(row) / 2
        bands[min(int(count * middle / len(places)), count - 1)] += row
        done += len(row)
    return bands


def _cover(
    layout: Layout,
    head: Head,
    places: Sequence[Place],
    alignment: Alignment,
    reaches: Callable[[str, Point], bool],
    avoid: Mapping[Place, frozenset[int]],
) -> list[Landing]:
    """Greedy: the first cell that is left is put under the site that takes most others with it."""
    left = dict.fromkeys(places)
    found: list[tuple[Place, list[tuple[Site, Place]]]] = []

    def under(anchor: Place) -> list[tuple[Site, Place]]:
        pairs = ((site, (anchor[0] + site.row, anchor[1] + site.column)) for site in head.sites)
        return [(site, place) for site, place in pairs if place in left]

    def choices(first: Place, all_sites: bool) -> Iterator[tuple[Place, list[tuple[Site, Place]]]]:
        """Anchors that bring the first cell under a site, the wanted cells under the others with it."""
        for site in head.sites:
            if site.number in avoid.get(first, ()) and not all_sites:
                continue
            anchor = first[0] - site.row, first[1] - site.column
            if reaches(head.name, _target(layout, site, first, alignment)):
                pairs = under(anchor)
                yield anchor, [p for p in pairs if p[1] == first or p[0].number not in avoid.get(p[1], ())]

    while left:
        first = next(iter(left))
        best: tuple[Place, list[tuple[Site, Place]]] | None = None
        # another site if there is one that can go there; else any that can; else the first, to be refused
        for all_sites in (False, True):
            for anchor, pairs in choices(first, all_sites):
                if best is None or len(pairs) > len(best[1]):
                    best = anchor, pairs
                if len(pairs) == len(head.sites):
                    break
            if best is not None:
                break
        if best is None:
            site = head.sites[0]
            best = (first[0] - site.row, first[1] - site.column), [(site, first)]
        for _, place in best[1]:
            del left[place]
        found.append(best)
    return [Landing(head.name, _target(layout, *pairs[0], alignment), tuple(pairs)) for _, pairs in _serpentine(found)]


def _serpentine(
    anchors: list[tuple[Place, list[tuple[Site, Place]]]],
) -> list[tuple[Place, list[tuple[Site, Place]]]]:
    """Row by row, every other row backwards."""
    rows = sorted({anchor[0] for anchor, _ in anchors})
    ordered = []
    for index, row in enumerate(rows):
        line = sorted((a for a in anchors if a[0][0] == row), key=lambda a: a[0][1], reverse=index % 2 == 1)
        ordered += line
    return ordered


def _target(layout: Layout, site: Site, place: Place, alignment: Alignment) -> Point:
    """Where the head goes, for a cell to be under one of its sites."""
    cell, offset = layout.by_place[place], layout.offset_m(site)
    return alignment.apply(cell.x_m - offset[0], cell.y_m - offset[1])


def pilots(landings: Mapping[str, Sequence[Landing]], cells: int) -> dict[str, list[Landing]]:
    """Some of the landings, evenly spread, with at least `cells` cells together (or all there are)."""
    total = sum(len(landing.cells) for line in landings.values() for landing in line)
    if cells >= total:
        return {name: list(line) for name, line in landings.items()}
    chosen: dict[str, list[Landing]] = {}
    for name, line in landings.items():
        own = sum(len(landing.cells) for landing in line)
        share = -(-cells * own // total)
        count = min(len(line), max(1, -(-share * len(line) // own))) if own else 0
        chosen[name] = [line[(2 * i + 1) * len(line) // (2 * count)] for i in range(count)]
    return chosen


def without(landings: Mapping[str, Sequence[Landing]], done: frozenset[Place]) -> dict[str, list[Landing]]:
    """The landings that are left, with the cells that are left."""
    kept: dict[str, list[Landing]] = {}
    for name, line in landings.items():
        kept[name] = [
            Landing(landing.head, landing.target_m, cells)
            for landing in line
            if (cells := tuple(pair for pair in landing.cells if pair[1] not in done))
        ]
    return kept
