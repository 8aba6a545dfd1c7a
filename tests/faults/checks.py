"""What every fault is held to: nothing lost, a clear error, devices in their declared state by their own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.errors import ConfigurationError, PicobridgeError

from .recording import Recorder, Stream
from .witness import Pair, Witness


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was compared."""

    samples: int
    values: int
    devices: int
    errors: int
    duplicated: int


async def check(
    recorder: Recorder,
    witness: Witness,
    told: int,
    *,
    quiet: str = "",
    still_on: Sequence[str] = (),
    routes: tuple[str, ...] = ("feedthrough",),
    left_out: int | None = None,
    killed: Sequence[str] = (),
) -> Checked:
    """The three checks.

    `told` is how many errors `check_error` has judged; `quiet` says why there is nothing to tell where there is none.
    `still_on` are the devices whose source must be connected, `routes` those that must be closed. `left_out` bounds the
    readings that were not published (default: any number, since a technique takes some beside its samples). `killed`
    are streams of daemons that were killed: what they had told as published must be there.
    """
    samples = values = duplicated = 0
    await _settled(recorder, killed)
    for name, stream in recorder.streams.items():
        samples += _check_sequence(recorder, name, stream, killed=name in killed)
        duplicated += stream.duplicated
    for name, sent in witness.sent.items():
        streams = [stream for stream in recorder.streams.values() if stream.device == name]
        recorded = [_pair(row) for stream in streams for _, row in sorted(stream.rows.items())]
        values += _check_values(name, recorded, sent, left_out)
    unsafe = witness.unsafe()
    assert sorted(unsafe) == sorted(f"{name} is on" for name in still_on), f"by the mocks' own record: {unsafe}"
    assert witness.closed_routes == routes, f"closed are {witness.closed_routes}"
    assert samples > 0, "no sample was compared"
    assert len(_different(recorder)) > 2, f"all values are {_different(recorder)}: nothing was compared"
    assert values == 2 * samples, f"{values} values were compared of {samples} samples"
    assert witness.judged() > 0, "no device was judged"
    assert bool(told) != bool(quiet), "either an error is judged, or it is said why there is none"
    return Checked(samples, values, witness.judged(), told, duplicated)


def check_error(said: Any, kind: type[PicobridgeError], device: str) -> int:
    """The error has a code, a text, a device and a hint. One about no device (`device` empty) names its operation,
    one about a configuration its file or folder."""
    fields = said.to_dict() if isinstance(said, PicobridgeError) else said
    assert fields is not None, "nothing was told"
    assert fields["error"] == kind.__name__, f"{fields}"
    assert len(fields["message"]) > 10, f"says nothing: {fields}"
    assert fields["device"] == device, f"{fields}"
    names_a_file = kind is ConfigurationError and "/" in fields["message"]
    assert fields["device"] or fields["operation"] or names_a_file, f"does not say where: {fields}"
    assert len(fields["hint"]) > 10, f"has no hint: {fields}"
    return 1


async def _settled(recorder: Recorder, killed: Sequence[str]) -> None:
    """Until each stream is at the recorder as far as the daemon says that it took samples."""

    def behind() -> list[str]:
        return [
            f"{state['stream']} at {len(recorder.streams[state['stream']].rows)} of {state['next_index']}"
            for state in _states(recorder)
            if state["stream"] in recorder.streams
            and state["stream"] not in killed
            and (state["pending"] or len(recorder.streams[state["stream"]].rows) < state["next_index"])
        ]

    await recorder.until(lambda: not behind(), f"all samples: {behind()}")


def _states(recorder: Recorder) -> list[Any]:
    """The newest state of each potentiostat."""
    newest = [told[-1] for topic, told in recorder.told.items() if topic.endswith("/state") and "device" in told[-1]]
    return [state for state in newest if "stream" in state]


def _check_sequence(recorder: Recorder, name: str, stream: Stream, *, killed: bool) -> int:
    """Indices from zero on, without a gap, each once and in order when repetitions are dropped."""
    indices = list(dict.fromkeys(stream.indices))
    assert indices == list(range(len(indices))), f"{name} has gaps or is out of order"
    told = [state for told in recorder.told.values() for state in told if isinstance(state, dict) and _is(state, name)]
    assert told, f"the daemon never said how far {name} is"
    if killed:
        assert len(indices) >= max(state["published"] for state in told)
    else:
        assert len(indices) == told[-1]["next_index"]
    return len(indices)


def _different(recorder: Recorder) -> set[Pair]:
    return {_pair(row) for stream in recorder.streams.values() for row in stream.rows.values()}


def _is(state: Mapping[str, Any], stream: str) -> bool:
    return state.get("stream") == stream and "published" in state


def _pair(row: Mapping[str, float]) -> Pair:
    return row["voltage_v"], row["current_a"]


def _check_values(name: str, recorded: Sequence[Pair], sent: Sequence[Pair], left_out: int | None) -> int:
    """Each recorded pair is one that the instrument sent, to the bit, in the same order. Returns how many numbers."""
    position = 0
    for index, pair in enumerate(recorded):
        begin = position
        while position < len(sent) and repr(sent[position]) != repr(pair):
            position += 1
        assert position < len(sent), f"{name}: sample {index} is {pair}; sent were then {sent[begin : begin + 5]}"
        position += 1
    if left_out is not None:
        assert len(sent) - len(recorded) <= left_out, f"{name}: {len(sent)} sent, {len(recorded)} recorded"
    return 2 * len(recorded)
