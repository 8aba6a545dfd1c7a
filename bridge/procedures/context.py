"""What a procedure sees of the daemon: its devices, someone to tell how far it is, someone to ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from drivers.interfaces import Device, Options


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the operator can do or know.

    `choices` are the answers, the first the ordinary one. With `fields` the operator also types values in (text with
    units): they are parsed as such an `Options`, and an answer whose values it refuses is refused, with its reason,
    before the procedure sees it. The other choices need no values. `details` is shown beside the text, as JSON values.
    """

    text: str
    choices: tuple[str, ...] = ("done",)
    fields: type[Options] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """`values` is an instance of the question's `fields`, or None where it has none. `by` is the client that answered,
    `at_ns` when (UTC)."""

    choice: str
    values: Any = None
    by: str = ""
    at_ns: int = 0


class Context(Protocol):
    """Handed to a procedure by the daemon; a script or a test can bring its own.

    Devices are the interfaces of `drivers.interfaces`. Blocks that a procedure takes from `Potentiostat.run` are
    published as they pass, so a procedure never publishes. Aborting a run cancels the procedure's task: it cleans up in
    `finally`.
    """

    run: str

    @property
    def saved(self) -> Mapping[str, Any]:
        """What the interrupted run that this one resumes had saved last; empty for a fresh run."""

    def device(self, role: str) -> Device:
        """The device that plays `role` in this run. Raises `InvalidValue` if the run was started without it."""

    def every_device(self, role: str) -> tuple[Device, ...]:
        """All devices that play `role`, in the order in which they were named; none if it is not cast."""

    def has(self, role: str) -> bool:
        """Whether a device plays `role`: an optional one may be missing."""

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        """Say which step it is, how far the run is (0 to 1, None if unknown), and numbers worth showing (SI, JSON)."""

    def note(self, text: str, **values: Any) -> None:
        """Say something that a person should read, as an event."""

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        """What is found, as it is found, for whoever looks on (SI, JSON): `header` says what the items are about and
        replaces the one before, `items` go behind those shown before. The result has to have all of it again."""

    def describe_sample(self, **known: float | None) -> None:
        """Tell the health watch what the parameters do not: `area_m2`, `stray_f`, `hard_min_v` and `hard_max_v` (beyond
        which the voltage must not go). Counts from the next technique on; None is not known."""

    async def save(self, **state: Any) -> None:
        """Keep what a resume needs (JSON values); on disk when it returns. Each call replaces what was saved before."""

    @property
    def pausing(self) -> bool:
        """Whether somebody has asked for a pause: a step under way was ended with `EndReason.STOPPED` for it."""

    async def pause_point(self) -> None:
        """A place at which the run may be paused: source off, nothing moving. Returns at once unless a pause was asked
        for, then when the run is resumed."""

    async def ask(self, question: Question) -> Answer:
        """Put a question to the operator and wait for the answer, however long that takes."""

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        """Tell the interlocks what a person has seen of a device that cannot tell (`"touch_alarm"`, `"armed"`)."""

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        title: str = "",
        share: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        """Another procedure as a part of this one, with this run's devices; returns its result, raises what it raises.

        Its steps are shown as `title: step` (`title` is its name unless given). `parameters` as from a client. `share`
        is where this one's progress stands when the part begins and ends: the part's own is scaled into it. What the
        part saves is kept beside what this one saves, under its title, until it has finished; if it is performed again
        under that title before it has, in this run or in one that resumes it, it is given back to it.
        """
