"""The sheet's description: its name, its cells, what to leave out, the probes that measure it, the marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.analysis.sheet.alignment import Point
from bridge.analysis.sheet.positions import Cell, Place, by_place, from_csv, from_list, grid, parse_skip
from drivers.errors import InvalidValue
from drivers.paths import expanded
from drivers.quantities import quantity


@dataclass(frozen=True, slots=True)
class Site:
    """One probe of a head: which channel is at it, by which route of the multiplexer ("": always), and where it is, in
    rows and columns from the head's own position."""

    number: int
    channel: str
    route: str = ""
    row: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """Probes that move together. `device` is the stage or manipulator ("": nothing moves).

    `contact_z_m` and `travel_z_m`: where its probes touch, and where they travel; None where x and y are all there is.
    """

    name: str
    device: str
    sites: tuple[Site, ...]
    contact_z_m: float | None = None
    travel_z_m: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """`seen_m` is where the head was when it was at the mark; None: the operator is asked to go there."""

    design_m: Point
    seen_m: Point | None


@dataclass(frozen=True, slots=True)
class Layout:
    """`pitch_m` is the distance of columns and of rows; None if the positions were listed and none was given."""

    lot: str
    sheet: str
    web: str
    cells: tuple[Cell, ...]
    skipped: frozenset[Place]
    pitch_m: Point | None
    heads: tuple[Head, ...]
    marks: tuple[Mark, ...] = ()
    distortion_limit_m: float = 50e-6
    cell_size_m: Point = (0.0, 0.0)
    by_place: Mapping[Place, Cell] = field(default_factory=dict)

    def offset_m(self, site: Site) -> Point:
        """Of a site from its head's own position, in design coordinates."""
        if (site.row, site.column) == (0, 0):
            return 0.0, 0.0
        assert self.pitch_m is not None  # seen to in `parse_layout`
        return site.column * self.pitch_m[0], site.row * self.pitch_m[1]


_TOP = ("lot", "sheet", "web", "grid", "positions", "file", "pitch", "skip", "skip_file", "head", "mark",
        "distortion_limit", "cell_size")  # fmt: skip


def parse_layout(content: Mapping[str, Any], folder: Path) -> Layout:
    """Out of a TOML file's content; reads the files that it names, relative to `folder`. Raises `InvalidValue`."""
    _known(content, _TOP, "sheet")
    cells, pitch = _cells(content, folder)
    heads = _heads(content.get("head"))
    if pitch is None and any((site.row, site.column) != (0, 0) for head in heads for site in head.sites):
        raise InvalidValue("sheet: sites are given by row and column, and there is no pitch; give pitch = [x, y]")
    skip = list(content.get("skip", ()))
    if "skip_file" in content:
        lines = _read(folder, content["skip_file"], "skip_file").splitlines()
        skip += [text for line in lines if (text := line.partition("#")[0].strip())]
    return Layout(
        lot=str(content.get("lot", "")),
        sheet=str(content.get("sheet", "")),
        web=str(content.get("web", "+x")),
        cells=tuple(cells),
        skipped=parse_skip(skip, cells),
        pitch_m=pitch,
        heads=heads,
        marks=_marks(content.get("mark", [])),
        distortion_limit_m=quantity(content.get("distortion_limit", 50e-6), "m", field="sheet: distortion_limit"),
        cell_size_m=_point(content.get("cell_size", [0, 0]), "sheet: cell_size"),
        by_place=by_place(cells),
    )


def _cells(content: Mapping[str, Any], folder: Path) -> tuple[list[Cell], Point | None]:
    given = [key for key in ("grid", "positions", "file") if key in content]
    if len(given) != 1:
        raise InvalidValue(f"sheet has {' and '.join(given) or 'no positions'}; accepted: one of grid, positions, file")
    if given == ["grid"]:
        table = content["grid"]
        if not isinstance(table, Mapping):
            raise InvalidValue(f"sheet: grid is {table!r}; a table is accepted with rows, columns, pitch, origin")
        _known(table, ("rows", "columns", "pitch", "origin"), "sheet: grid")
        for key in ("rows", "columns", "pitch"):
            if key not in table:
                raise InvalidValue(
                    f"sheet: grid has no {key}; accepted: rows, columns, pitch = ['5 mm', '5 mm'], origin"
                )
        pitch = _point(table["pitch"], "sheet: grid: pitch")
        origin = _point(table.get("origin", [0, 0]), "sheet: grid: origin")
        return grid(table["rows"], table["columns"], *pitch, origin), pitch
    pitch_given = _point(content["pitch"], "sheet: pitch") if "pitch" in content else None
    if given == ["positions"]:
        return from_list(content["positions"]), pitch_given
    return from_csv(_read(folder, content["file"], "file"), f"sheet: {content['file']}"), pitch_given


def _heads(tables: Any) -> tuple[Head, ...]:
    if not isinstance(tables, list) or not tables:
        raise InvalidValue("sheet has no [[head]]; accepted: one for each stage or manipulator that carries probes")
    heads: list[Head] = []
    number = 0
    for index, table in enumerate(tables):
        where = f"sheet: head number {index + 1}"
        _known(table, ("device", "site", "contact_z", "travel_z"), where)
        sites: list[Site] = []
        for site in table.get("site", ()):
            number += 1
            sites.append(_site(site, number, f"{where}: site number {len(sites) + 1}"))
        if not sites:
            raise InvalidValue(f"{where} has no [[head.site]]; accepted: one for each probe")
        if len({(s.row, s.column) for s in sites}) != len(sites):
            raise InvalidValue(f"{where}: two sites are at one place")
        if ("contact_z" in table) != ("travel_z" in table):
            raise InvalidValue(f"{where} has contact_z or travel_z alone; accepted: both, or neither")
        device = str(table.get("device", ""))
        contact, travel = (
            quantity(table[key], "m", field=f"{where}: {key}") if key in table else None
            for key in ("contact_z", "travel_z")
        )
        heads.append(Head(device or f"fixture {index + 1}", device, tuple(sites), contact, travel))
    if len({head.name for head in heads}) != len(heads):
        raise InvalidValue(f"sheet: two heads have one device: {', '.join(head.name for head in heads)}")
    return tuple(heads)


def _site(table: Any, number: int, where: str) -> Site:
    _known(table, ("channel", "route", "row", "column"), where)
    if not isinstance(table.get("channel"), str) or not table["channel"]:
        raise InvalidValue(f"{where}: channel is {table.get('channel')!r}; accepted: the name of a potentiostat")
    place = []
    for key in ("row", "column"):
        value = table.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(f"{where}: {key} is {value!r}; accepted: a whole number of {key}s from the head's place")
        place.append(value)
    return Site(number, table["channel"], str(table.get("route", "")), *place)


def _marks(tables: Any) -> tuple[Mark, ...]:
    if not isinstance(tables, list):
        raise InvalidValue(f"sheet: mark is {tables!r}; accepted: [[mark]] tables with design and seen")
    marks = []
    for index, table in enumerate(tables, 1):
        where = f"sheet: mark number {index}"
        _known(table, ("design", "seen"), where)
        if "design" not in table:
            raise InvalidValue(f"{where} has no design; accepted: its x and y on the sheet")
        seen = _point(table["seen"], f"{where}: seen") if "seen" in table else None
        marks.append(Mark(_point(table["design"], f"{where}: design"), seen))
    if 0 < len(marks) < 3:
        raise InvalidValue(
            f"sheet has {len(marks)} marks; accepted: none (the axes are the stage's own), or three or more"
        )
    return tuple(marks)


def _known(table: Any, accepted: Sequence[str], where: str) -> None:
    if not isinstance(table, Mapping):
        raise InvalidValue(f"{where} is {table!r}; a table is accepted with {', '.join(accepted)}")
    for key in table:
        if key not in accepted:
            raise InvalidValue(f"{where}: {key!r} is not known; accepted: {', '.join(accepted)}")


def _point(value: Any, where: str) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidValue(f"{where} is {value!r}; accepted: x and y, such as ['5 mm', '5 mm']")
    x_m, y_m = (quantity(part, "m", field=where) for part in value)
    return x_m, y_m


def _read(folder: Path, name: Any, key: str) -> str:
    path = expanded(str(name), folder)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidValue(f"sheet: {key}: {path} cannot be read: {reason}") from error
