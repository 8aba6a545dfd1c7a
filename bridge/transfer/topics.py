"""The names of the topics, in one place. `docs/mqtt.md` is the contract; `<prefix>` is usually `picobridge/<bridge>`.

Devices, bridges, clients and runs have names of 1 to 32 of `a-z 0-9 _ -`, so that no name can smuggle a level, a
wildcard or `$` into a topic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.errors import InvalidValue

NAME_PATTERN = r"^[a-z0-9_-]{1,32}$"
_NAME = re.compile(r"[a-z0-9_-]{1,32}")

#: The root under which bridges live unless the configuration says otherwise.
DEFAULT_ROOT = "picobridge"


def is_name(text: object) -> bool:
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def checked_name(text: object, what: str) -> str:
    """`text` if it is a name; raises `InvalidValue` that says what it was meant to name."""
    if not is_name(text):
        raise InvalidValue(
            f"{what} is {text!r}; accepted: 1 to 32 characters out of a-z, 0-9, _ and -",
        )
    return str(text)


def checked_prefix(text: object, what: str = "prefix") -> str:
    """`text` if it can stand before our topics: levels of printable ASCII without wildcards, not `$...`."""
    levels = text.split("/") if isinstance(text, str) else []
    good = levels and all(re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", level) for level in levels) and len(str(text)) <= 200
    if not good:
        raise InvalidValue(f"{what} is {text!r}; accepted: levels such as 'picobridge/lab', without +, #, $ and blanks")
    return str(text)


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one bridge."""

    prefix: str

    @staticmethod
    def of(bridge: str, root: str = DEFAULT_ROOT) -> Topics:
        """The topics of the bridge of that name. Raises `InvalidValue`."""
        return Topics(f"{checked_prefix(root, 'root')}/{checked_name(bridge, 'bridge')}")

    @property
    def status(self) -> str:
        return f"{self.prefix}/status"

    @property
    def claim(self) -> str:
        """Where daemons of one name hear each other."""
        return f"{self.prefix}/claim"

    @property
    def events(self) -> str:
        return f"{self.prefix}/events"

    @property
    def health(self) -> str:
        return f"{self.prefix}/health"

    def device(self, device: str, kind: str) -> str:
        """`kind` is info, state, samples or latest; device "+" subscribes to all of them."""
        return f"{self.prefix}/devices/{device}/{kind}"

    def info(self, device: str) -> str:
        return self.device(device, "info")

    def state(self, device: str) -> str:
        return self.device(device, "state")

    def samples(self, device: str) -> str:
        return self.device(device, "samples")

    def latest(self, device: str) -> str:
        return self.device(device, "latest")

    def run_state(self, run: str) -> str:
        return f"{self.prefix}/runs/{run}/state"

    def run_result(self, run: str) -> str:
        return f"{self.prefix}/runs/{run}/result"

    def run_manifest(self, run: str) -> str:
        return f"{self.prefix}/runs/{run}/manifest"

    def request(self, method: str, user: str = "") -> str:
        """Method "+" and user "+" subscribe to all. `user` is who asks, where the broker proves that."""
        return f"{self.prefix}/request/{user}/{method}" if user else f"{self.prefix}/request/{method}"

    def reply(self, client: str, user: str = "") -> str:
        return f"{self.prefix}/reply/{user}/{client}" if user else f"{self.prefix}/reply/{client}"

    def replay_of(self, reply_topic: str) -> str:
        """Where samples go that are sent again for whoever has its answers at `reply_topic`."""
        return f"{self.prefix}/replay/{reply_topic.removeprefix(f'{self.prefix}/reply/')}"

    def request_of(self, topic: str) -> tuple[str, str] | None:
        """User ("" if the topic names none) and method of a request topic; None if it is none of this bridge."""
        start = f"{self.prefix}/request/"
        if not topic.startswith(start):
            return None
        *users, method = topic.removeprefix(start).split("/")
        if len(users) > 1 or not all(is_name(level) for level in (*users, method)):
            return None
        return (users[0] if users else ""), method

    def may_reply_to(self, topic: object, user: str = "") -> bool:
        """Whether a reply may go there: only below `<prefix>/reply/`, or anyone could have us publish anywhere; for a
        `user` only to `<prefix>/reply/<user>` and below it."""
        start = f"{self.prefix}/reply/"
        if not isinstance(topic, str) or not topic.startswith(start) or len(topic) > 300:
            return False
        levels = topic.removeprefix(start).split("/")
        if user and levels[0] != user:
            return False
        return all(re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", level) for level in levels)


def any_status(root: str = DEFAULT_ROOT) -> str:
    """The filter that finds every bridge below a root by its retained status."""
    return f"{root}/+/status"
