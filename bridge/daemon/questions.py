"""What a run has asked the operator, and the answer."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.procedures.context import Answer, Question
from bridge.procedures.forms import describe_fields
from bridge.transfer.plain import to_plain
from drivers.errors import InvalidValue
from drivers.fields import parse_fields


@dataclass(frozen=True, slots=True)
class _Pending:
    id: str
    question: Question
    asked_ns: int
    answer: asyncio.Future[Answer]


class Questions:
    """At most one question of a run is open. `changed` is called when that changes; `tell` says it to people."""

    def __init__(self, changed: Callable[[], None], tell: Callable[..., None]) -> None:
        self._changed = changed
        self._tell = tell
        self._pending: _Pending | None = None
        self._numbers = itertools.count(1)
        self._answered: tuple[str, Answer] | None = None

    async def ask(self, question: Question) -> Answer:
        """Wait for the answer. One after the other: a procedure that asks from two tasks has the second wait."""
        while self._pending is not None:
            await asyncio.wait([self._pending.answer])
        pending = _Pending(
            str(next(self._numbers)), question, time.time_ns(), asyncio.get_running_loop().create_future()
        )
        self._pending = pending
        self._changed()
        self._tell("question", question.text, question=self.describe())
        try:
            return await pending.answer
        finally:
            self._pending = None
            pending.answer.cancel()
            self._changed()

    def describe(self) -> dict[str, Any] | None:
        """The open question as JSON values, with the form of what is to be typed in; None if there is none."""
        if self._pending is None:
            return None
        question = self._pending.question
        described: dict[str, Any] = to_plain(
            {
                "id": self._pending.id,
                "text": question.text,
                "choices": list(question.choices),
                "fields": None if question.fields is None else describe_fields(question.fields),
                "details": dict(question.details),
                "asked_ns": self._pending.asked_ns,
            }
        )
        return described

    def answer(self, question: Any, choice: Any, values: Mapping[str, Any], by: str) -> None:
        """Raises `InvalidValue` if that is no answer to the question that is open; it stays open then."""
        pending = self._pending
        if self._answered is not None and question == self._answered[0]:
            said = self._answered[1]
            raise InvalidValue(f"question {question} was answered already: {said.choice!r}, by {said.by or 'somebody'}")
        if pending is None or pending.answer.done():
            raise InvalidValue("no question is open in this run")
        if question is not None and question != pending.id:
            raise InvalidValue(f"question is {question!r:.50}; the one that is open is {pending.id!r}")
        asked = pending.question
        if choice not in asked.choices:
            raise InvalidValue(f"choice is {choice!r:.100}; accepted: {', '.join(asked.choices)}")
        if asked.fields is None and values:
            raise InvalidValue("values are given; this question asks for none")
        typed = None
        if asked.fields is not None and (values or choice == asked.choices[0]):
            typed = parse_fields(asked.fields, values, noun="value")
        answer = Answer(choice, typed, by=by, at_ns=time.time_ns())
        self._answered = (pending.id, answer)
        pending.answer.set_result(answer)
        self._tell("answer", f"{by or 'somebody'} answered {choice!r}: {asked.text}", answer=choice, by=by)
