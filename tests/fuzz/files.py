"""What is read from disk: configurations, schedules, records of runs, descriptions of a sheet."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.analysis.energy_density import parse_layers
from bridge.analysis.sheet.bins import parse_bins
from bridge.analysis.sheet.limits import parse_limits
from bridge.analysis.sheet.rules import parse_rule
from bridge.analysis.stage_path import parse_order
from bridge.client.run_news import decode
from bridge.daemon import config
from bridge.procedures.cycle_geometry import parse_history
from bridge.procedures.schedule.amounts import charge, comparison, current
from bridge.procedures.schedule.estimate import estimate
from bridge.procedures.schedule.parse import parse
from bridge.procedures.schedule.validate import check, notes
from bridge.procedures.sheet.layout import parse_layout
from bridge.record import Description, manifest
from bridge.record.export import FORMATS, export_stream
from bridge.record.raw import RawFiles, RawReader, merged
from bridge.record.run_record import RunRecord
from bridge.transfer.plain import dumps
from drivers.errors import ConfigurationError, InvalidValue
from drivers.samples import SampleBlock

from .messages import same_block
from .target import Target
from .wire import text


def configuration(data: bytes) -> None:
    """A daemon's configuration. What passes names each device once, and folders that are absolute or the file's own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lab.toml"
        path.write_bytes(data.replace(b"procedures", b"procedure_s"))  # those files would be executed
        loaded = config.load(path)
        assert len({device.address for device in loaded.devices.values()}) == len(loaded.devices)
        assert loaded.topics.prefix.isascii()


def schedule(data: bytes) -> None:
    """A schedule: parsed, judged, and told of; parsed from its own text it is the same."""
    parsed = parse(text(data))
    assert parse(parsed.text) == parsed
    if not check(parsed):
        notes(parsed)
        estimate(parsed)


def amounts(data: bytes) -> None:
    """Each line as a current, a charge, a comparison, a rule, and as the other texts that a parameter may be."""
    for line in text(data).split("\n"):
        _, rest = comparison(line)
        readers: tuple[Callable[[str], Any], ...] = (
            lambda line: current(line, 1e-11, field="current").si(1e-9),
            lambda line: charge(line, 1e-11, field="capacity").si(1e-9),
            *(parse_rule, parse_layers, parse_order, parse_history),
        )
        for read in readers:
            for part in (line, str(rest)):
                try:
                    read(part)
                except InvalidValue:
                    continue


def sheet(data: bytes) -> None:
    """Layout, limits and bins of a sheet of cells."""
    try:
        content = tomllib.loads(text(data))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return
    grid = content.get("grid")
    size = [grid.get(key) for key in ("rows", "columns")] if isinstance(grid, dict) else []
    if set(content) & {"file", "skip_file"} or any(isinstance(number, int) and number > 100 for number in size):
        return  # files; and more cells than the input pays for
    for read in (lambda content: parse_layout(content, Path("/nowhere")), parse_limits, parse_bins):
        try:
            read(content)
        except InvalidValue:
            continue


def raw(data: bytes) -> None:
    """A file of samples: the blocks before the damage, and what they are exported to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pstat.cborseq"
        path.write_bytes(data)
        reader = RawReader(path)
        blocks = list(reader)
        assert 0 <= reader.unread_bytes <= len(data)
        assert bool(reader.unread_bytes) == bool(reader.reason)
        together = list(merged(blocks))
        assert sum(map(len, together)) == sum(map(len, blocks))
        (other := Path(folder) / "other").mkdir()
        files = RawFiles(other)
        with files:
            fresh = [part for block in blocks if (part := files.count(block)) is not None]
            for block in fresh:
                files.write(block.stream, "again", [block])
        _written_as(fresh, files, other)
        export_stream(path, set(FORMATS) - {"hdf5"})  # a file of it costs ten times as much
        with RawFiles(Path(folder)) as gone_on_with:  # what could be read is kept, and what could not is cut off
            assert sum(count.samples for count in gone_on_with.counts.values()) <= sum(map(len, blocks))
        assert not path.exists() or sum(map(len, RawReader(path))) == sum(map(len, blocks))


def _written_as(blocks: list[SampleBlock], files: RawFiles, folder: Path) -> None:
    """What was written is read again, stream by stream."""
    for stream, name in files.names().items():
        reader = RawReader(folder / name)
        wanted = [block for block in blocks if block.stream == stream]
        for one, other in zip(reader, wanted, strict=True):
            same_block(one, other)
        assert not reader.unread_bytes


def record(data: bytes) -> None:
    """A run's folder whose manifest, result and events are the input's parts (apart by a line of ---)."""
    parts = data.split(b"\n---\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in zip((manifest.NAME, manifest.RESULT, manifest.EVENTS), parts, strict=False):
            (folder / file).write_bytes(content)
        json.loads(dumps(manifest.read(folder)))
        found = RunRecord.open(folder)
        for look in (
            lambda: found.status,
            lambda: found.complete,
            lambda: found.result,
            lambda: found.verdict,
            lambda: found.events,
            lambda: found.problems(),
        ):
            try:
                look()
            except InvalidValue:
                continue


def published(data: bytes) -> None:
    """A run's manifest as it comes over MQTT: what is understood makes a folder, and is read from it again."""
    content = manifest.checked("a message", {"files": {}, **decode(data)})
    manifest.samples_of(content)
    described = Description.of(content)
    with tempfile.TemporaryDirectory() as name:
        manifest.write(Path(name), described.content | {"files": {}})
        assert manifest.read(Path(name))["run"] == content["run"]
        assert manifest.problem(Path(name)) == ""


_TOML_TOKENS = (
    *(
        b"[bridge]\n",
        b"[broker]\n",
        b"[devices.a]\n",
        b"[watch]\n",
        b'driver = "tdstat"\n',
        b'address = "usb:a0a0:0002"\n',
    ),
    *(
        b"queue_mb = ",
        b"state_dir = ",
        b'url = "mqtt://',
        b"~",
        b"\\u0000",
        b"[[[[[[[[",
        b"1e999",
        b"inf",
        b"nan",
        b"''''",
    ),
)
_STEP_TOKENS = (
    *(
        b"[[step]]\n",
        b'do = "',
        b"until = [{",
        b"voltage = ",
        b'current = "',
        b"C/20",
        b"5 pA",
        b"goto ",
        b"[counters]\n",
    ),
    *(
        b"[cell]\n",
        b"[safety]\n",
        b"times = 3\n",
        b'to = "',
        b"loop",
        b"pulse",
        b"sweep",
        b"procedure",
        b"branch",
        b"cccv",
    ),
)

_MANIFEST_TOKENS = (
    *(b'"format":"picobridge run"', b'"format_version":1', b'"format_version":2', b'"status":"completed"'),
    *(b'"events":[', b'"ended_ns":', b'"streams":{', b'"first_index":', b"\n---\n"),
)

TARGETS = (
    Target(
        "configuration",
        configuration,
        (ConfigurationError,),
        ("bridge.daemon.config", "bridge.daemon.problems", "bridge.daemon.watch_options", "drivers.fields"),
        bytes_per_byte=400,
        limit=2048,
        tokens=_TOML_TOKENS,
    ),
    Target(
        "schedule",
        schedule,
        (InvalidValue,),
        ("bridge.procedures.schedule",),
        bytes_per_byte=400,
        limit=4096,
        tokens=_STEP_TOKENS,
    ),
    Target(
        "amount",
        amounts,
        (InvalidValue,),
        ("bridge.procedures.schedule.amounts", "bridge.analysis.sheet.rules", "bridge.procedures.cycle_geometry"),
        bytes_per_byte=400,
        limit=256,
        tokens=(b"C/", b"uAh/cm2", b"%", b">=", b"pA", b"ocv_v < 3", b"measured(", b"steel 10 um", b"2026-01-31 = "),
    ),
    Target(
        "sheet",
        sheet,
        (InvalidValue,),
        ("bridge.procedures.sheet", "bridge.analysis.sheet"),
        bytes_per_byte=400,
        limit=2048,
        tokens=(
            b"[[head]]\n",
            b"[grid]\n",
            b"rows = ",
            b"pitch = [",
            b"[[bin]]\n",
            b"when = ",
            b"[robust.ocv_v]\n",
            b"r1c1:r2c2",
        ),
    ),
    Target(
        "raw-file",
        raw,
        (),
        ("bridge.record", "bridge.transfer.codec"),
        bytes_per_byte=400,
        limit=2048,
    ),
    Target(
        "record",
        record,
        (InvalidValue,),
        ("bridge.record.manifest", "bridge.record.run_record"),
        bytes_per_byte=400,
        tokens=_MANIFEST_TOKENS,
    ),
    Target(
        "published-manifest",
        published,
        (InvalidValue,),
        ("bridge.record.manifest", "bridge.record.description", "bridge.client.run_news"),
        bytes_per_byte=400,
        tokens=_MANIFEST_TOKENS,
    ),
)
