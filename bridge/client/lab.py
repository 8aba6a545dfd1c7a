"""A bridge, as seen from a script."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from bridge.access.permissions import STOPS
from bridge.safety.acts import kinds_of
from bridge.transfer.messages import Reply, Request, load_object
from bridge.transfer.mqtt import Incoming, Message
from bridge.transfer.topics import Topics, checked_name
from drivers.errors import BridgeUnreachable, InvalidValue, PicobridgeError, Refused, Unsupported

from .blocks import BlockStream
from .complete import CompleteStream, complete_stream
from .connection import Connection, Listener
from .finding import require_same_contract
from .leases import ClientLeases
from .past import Past
from .proxies import PROXIES, Proxy
from .run_news import RunNews, filters
from .runs import Run
from .shared import SharedStream

LOG = logging.getLogger("picobridge.client")

P = TypeVar("P", bound=Proxy)

#: Who plays a role: a device by name or as a proxy, or several.
Players = str | Proxy | Sequence[str | Proxy]

#: A request that the daemon has not seen after this long is not executed any more.
EXPIRY_S = 10.0
#: A request without an answer is sent again after this.
ASK_AGAIN_S = EXPIRY_S + 2.0


class Lab:
    """The devices and runs of one bridge. Made by `connect`.

    Devices are attributes (`lab.stage`) and items (`lab["fib-stage"]`), with the interfaces of the drivers.
    """

    def __init__(
        self, connection: Connection, topics: Topics, name: str, status: Mapping[str, Any], user: str = ""
    ) -> None:
        self._connection = connection
        self._status = status
        self._name = name
        self._user = user
        self._topics = topics
        #: where answers come; only `user` may read it, where there are users
        self.reply_topic = topics.reply(name, user)
        self._runs: dict[str, Run] = {}
        self._waiting: dict[str, tuple[Request, asyncio.Future[Any]]] = {}
        self._offline = asyncio.Event()
        self._leases = ClientLeases(self.request)
        self.devices: dict[str, Proxy] = {}
        connection.reconnected.append(self._ask_again)

    def __getattr__(self, name: str) -> Any:
        devices: dict[str, Proxy] = self.__dict__.get("devices", {})
        for spelled in (name, name.replace("_", "-")):
            if spelled in devices:
                return devices[spelled]
        raise AttributeError(f"the bridge has no device {name!r}; it has {', '.join(devices) or 'none'}")

    def __getitem__(self, name: str) -> Any:
        try:
            return self.devices[name]
        except KeyError:
            raise InvalidValue(f"device {name!r} is not known; accepted: {', '.join(self.devices) or 'none'}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.devices)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.replace("-", "_") for name in self.devices)]

    @property
    def bridge(self) -> str:
        """The topic prefix of the bridge."""
        return self._topics.prefix

    async def refresh(self) -> None:
        """Ask again which devices there are, and what is known of them."""
        known = await self.request("devices")
        self.devices = {name: PROXIES[info["interface"]](self, name, info) for name, info in known.items()}

    async def call(self, device: str, method: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Call a method of a device; values may be text with units. Raises what the driver raised.

        What moves or switches needs the lease of the device's group, which is taken, renewed meanwhile, and given back
        a few seconds after the last call (`control` keeps it longer). Raises `Busy` if somebody else has it.
        """
        asked = {"device": device, "method": method, "arguments": dict(arguments or {})}
        proxy = self.devices.get(device)
        if proxy is None or not kinds_of(proxy.interface, method, arguments or {}):
            return await self.request("call", asked)
        async with self._leases.holding(device) as held:
            return await self._request("call", asked, lease=held.lease, fence=held.fence)

    @contextlib.asynccontextmanager
    async def control(self, device: str) -> AsyncIterator[None]:
        """Nobody else moves the device's group while the block lasts. Raises `Busy`.

        If this program dies, what moves stops within seconds: the daemon hears no renewal. If control is lost (somebody
        took it over, or renewals did not arrive), what would move the group raises `LeaseLost` until the block is left.
        """
        async with self._leases.controlling(device):
            yield

    async def faults(self) -> dict[str, Any]:
        """`open`: the latched faults, each with what to do; `starting`: devices that were not read yet."""
        return dict(await self.request("faults"))

    async def acknowledge(self, fault: int) -> None:
        """Say that somebody has looked at a latched fault. Nothing is started by it.

        Raises `Refused` while its cause is there, `InvalidValue` if there is no such open fault.
        """
        ticket = next((one["ticket"] for one in (await self.faults())["open"] if one["id"] == fault), None)
        await self.request("acknowledge", {"fault": fault, "ticket": ticket or ""})

    async def state(self, input: str, value: Any, seconds: float | str = 600.0) -> None:
        """Say what you have seen where a device cannot tell, such as `("stage.touch_alarm", "armed")`."""
        await self.request("state", {"input": input, "value": value, "for": seconds})

    async def emergency_stop(self) -> dict[str, Any]:
        """As `stop`; and nothing moves or is energised after it until somebody has acknowledged the fault."""
        return dict(await self.request("emergency_stop"))

    async def start(
        self,
        procedure: str,
        parameters: Mapping[str, Any] | None = None,
        devices: Mapping[str, Players] | None = None,
        watch: Mapping[str, Any] | bool | None = None,
    ) -> Run:
        """Start an experiment in the daemon. `devices` maps its roles to devices, or to lists of them. `watch` is what
        the health watch does in this run where that is not as configured (`{"short": "mark"}`; False: nothing).

        If this is cancelled, the run is aborted. Raises `InvalidValue`, `Refused`, `Busy`.
        """
        names = {role: _names(players) for role, players in (devices or {}).items()}
        asked: dict[str, Any] = {"procedure": procedure, "parameters": dict(parameters or {}), "devices": names}
        if watch is not None:
            asked["watch"] = watch if isinstance(watch, bool) else dict(watch)
        return await self._begin("run", asked)

    async def resume(self, run: str | Run) -> Run:
        """Go on with a run that was interrupted, aborted or failed, from what it had saved. Returns the new run.

        Raises `InvalidValue` for one that cannot be gone on with, and what `start` raises.
        """
        return await self._begin("resume", {"run": run.id if isinstance(run, Run) else run})

    async def _begin(self, method: str, asked: Mapping[str, Any]) -> Run:
        asking = asyncio.ensure_future(self.request(method, asked))
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # the daemon may have started it all the same, and nobody else knows of it
            with contextlib.suppress(PicobridgeError, TimeoutError):
                async with asyncio.timeout(EXPIRY_S):
                    await self.request("abort", {"run": str((await asking)["run"])})
            raise
        return self._run(str(answer["run"]))

    async def run(
        self,
        procedure: str,
        parameters: Mapping[str, Any] | None = None,
        devices: Mapping[str, Players] | None = None,
        watch: Mapping[str, Any] | bool | None = None,
    ) -> dict[str, Any]:
        """Start an experiment and await its result; if this is cancelled, the run is aborted."""
        run = await self.start(procedure, parameters, devices, watch)
        try:
            return await run.result()
        except asyncio.CancelledError:
            await run.abort()
            raise

    async def runs(self) -> list[Run]:
        """The runs that the daemon knows, the oldest first."""
        found = []
        for state in await self.request("runs"):
            run = self._run(str(state["run"]))
            run.update_state(state)
            found.append(run)
        return found

    async def procedures(self) -> list[dict[str, Any]]:
        """What can be started: name, summary, roles, parameters with units, defaults and help."""
        return list(await self.request("procedures"))

    async def stop(self) -> dict[str, Any]:
        """Everything to its safe state, now: runs aborted, sources off, motion stopped. Returns what became of each."""
        return dict(await self.request("stop"))

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What a person should read, from now on."""
        async with self._connection.listen(self._topics.events) as listener:
            while True:
                await listener.wait()
                message = listener.take()
                if message is not None:
                    yield load_object(message.payload)

    @contextlib.asynccontextmanager
    async def listen_to_samples(self, device: str) -> AsyncIterator[BlockStream]:
        """The blocks of a device from now on ("+": of all devices)."""
        async with self._connection.listen(self._topics.samples(device)) as listener:
            yield BlockStream(listener)

    @contextlib.asynccontextmanager
    async def run_news(self) -> AsyncIterator[RunNews]:
        """What is said of all runs: manifests, states, results, what is retained first; and events from now on."""
        async with self._connection.listen(*filters(self._topics)) as listener:
            yield RunNews(listener, self._topics)

    @contextlib.asynccontextmanager
    async def complete_samples(
        self, device: str = "+", *, recorder: str = "", begin: Mapping[str, int] | None = None
    ) -> AsyncIterator[CompleteStream]:
        """The blocks of a device ("+": of all), in order, with what did not arrive asked for again.

        With a `recorder`'s name (1 to 32 of a-z 0-9 _ -) they begin where `CompleteStream.recorded` of the last one of
        that name ended, without one with what is new, or where `begin` says for a stream. Raises `InvalidValue`.
        """
        if recorder:
            checked_name(recorder, "recorder")
        own = self._topics.replay_of(self.reply_topic)
        async with (
            self._connection.listen(self._topics.samples(device), own, retained=False) as heard,
            complete_stream(heard, own, self.request, recorder, device, begin) as blocks,
        ):
            yield blocks

    async def history(
        self,
        stream: str,
        first_index: int,
        next_index: int,
        *,
        points: int = 4000,
        columns: Sequence[str] | None = None,
        charge_from: int | None = None,
    ) -> Past:
        """A range of a stream's past as at most `points` buckets, with the least and the greatest value in each.

        With `charge_from`, an index at or before `first_index`, also the charge from there on. Raises `InvalidValue`.
        """
        asked: dict[str, Any] = {"first_index": first_index, "next_index": next_index, "points": points}
        if columns is not None:
            asked["columns"] = list(columns)
        if charge_from is not None:
            asked["charge_from"] = charge_from
        return Past.of(await self.request("history", {"stream": stream, **asked}))

    @contextlib.asynccontextmanager
    async def shared_samples(self, group: str, member: str) -> AsyncIterator[SharedStream]:
        """The blocks of all devices that fall to one member of a group of recorders, as they come, and with those that
        no member has. What it has on its disk it says by `SharedStream.recorded`.

        Raises `InvalidValue` for bad names, `Unsupported` if the broker has no shared subscriptions.
        """
        checked_name(group, "group")
        checked_name(member, "member")
        if not self._connection.shares:
            raise Unsupported(
                f"{self._connection.address} has no shared subscriptions, which recorders of a group need",
                hint="Use a broker for MQTT 5, such as Mosquitto, or one recorder: picobridge record --name.",
            )
        own = self._topics.replay_of(self.reply_topic)
        shared = f"$share/{group}/{self._topics.samples('+')}"
        async with self._connection.listen(shared, own, retained=False) as heard:
            blocks = SharedStream(heard, self.request, group, member)
            try:
                yield blocks
            finally:
                await blocks.close()

    @contextlib.asynccontextmanager
    async def listen(self, *filters: str) -> AsyncIterator[Listener]:
        """Raw messages of topic filters below the bridge's prefix."""
        async with self._connection.listen(*(f"{self._topics.prefix}/{f}" for f in filters)) as listener:
            yield listener

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Ask the daemon and await its answer, which may take as long as a move takes.

        Raises the daemon's error, or `BridgeUnreachable` if it goes away before it has answered: whether the request
        was executed is then not known.
        """
        return await self._request(method, params)

    async def _request(
        self, method: str, params: Mapping[str, Any] | None, *, lease: str = "", fence: int | None = None
    ) -> Any:
        request = Request(
            method=method,
            params=dict(params or {}),
            sender=self._name,
            expires_at=time.time() + EXPIRY_S,
            reply_to=self.reply_topic,
            lease=lease,
            fence=fence,
        )
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = (request, answer)
        try:
            if method not in STOPS:
                require_same_contract(self._status)
            await self._publish(request)
            await self._answered(request, answer)
            if not answer.done():
                raise BridgeUnreachable(
                    f"the daemon of {self._topics.prefix} went offline before it answered", operation=method
                )
            return answer.result()
        except PicobridgeError as error:
            error.annotate(device="", operation=method)
            raise
        finally:
            del self._waiting[request.id]

    async def _publish(self, request: Request) -> None:
        """Raises `Refused` if the broker does not let this user ask (MQTT 5; on 3.1.1 no answer comes)."""
        topic = self._topics.request(request.method, self._user)
        try:
            await self._connection.publish(Message(topic, request.encode()))
        except Refused as error:
            error.hint = error.hint or f"Is {self._user or 'who asks'} the user whom the broker knows?"
            raise

    async def _answered(self, request: Request, answer: asyncio.Future[Any]) -> None:
        """Wait for the answer, or for the daemon going offline.

        A request that came while the daemon's own connection was away reached nobody: it is sent again, under the same
        id, so that it acts once; a daemon that has not seen it by then says so, and does not execute it.
        """
        offline = asyncio.ensure_future(self._offline.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {answer, offline}, timeout=ASK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return
                with contextlib.suppress(BridgeUnreachable):
                    await self._publish(request)
        finally:
            offline.cancel()
            await asyncio.gather(offline, return_exceptions=True)

    async def give_back(self) -> None:
        """For `follow`: no lease is held any more."""
        await self._leases.close()

    def close(self) -> None:
        """For `follow`: nothing is asked any more."""
        self._connection.reconnected.remove(self._ask_again)

    async def serve(self, listener: Listener) -> None:
        """For `connect`: take in what the daemon says, until cancelled."""
        while True:
            await listener.wait()
            message = listener.take()
            if message is not None:
                try:
                    self._take_in(message)
                except (ValueError, TypeError, KeyError, AttributeError) as error:  # not from our daemon
                    LOG.debug("a message on %s is not understood: %s", message.topic, error)

    def _take_in(self, message: Incoming) -> None:
        if message.topic == self.reply_topic:
            self._take_reply(Reply.decode(message.payload))
            return
        if not message.payload:  # a run that the daemon keeps no longer
            self._runs.pop(message.topic.split("/")[-2], None)
            return
        fields = load_object(message.payload)
        if message.topic == self._topics.status:
            if fields.get("status") == "online":
                self._status = fields
                self._offline.clear()
            elif not self._offline.is_set():
                self._offline.set()
                LOG.warning("the daemon of %s is offline; what runs is followed again when it is back", self.bridge)
            return
        run, kind = message.topic.removeprefix(f"{self._topics.prefix}/runs/").split("/")
        if kind == "state":
            self._run(run).update_state(fields)
        else:
            self._run(run).update_result(fields)

    def _take_reply(self, reply: Reply) -> None:
        _, answer = self._waiting.get(reply.id, (None, None))
        if answer is None or answer.done():
            return
        if reply.error is not None:
            answer.set_exception(reply.error)
        else:
            answer.set_result(reply.result)

    def _run(self, run: str) -> Run:
        if run not in self._runs:
            self._runs[run] = Run(run, self.request)
        return self._runs[run]

    def _ask_again(self) -> None:
        """The connection was away: an answer may be lost. The same id again acts once and brings the stored answer."""
        for request, answer in self._waiting.values():
            if not answer.done():
                task = asyncio.ensure_future(self._publish(request))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _names(players: Players) -> str | list[str]:
    if isinstance(players, str):
        return players
    if isinstance(players, Proxy):
        return players.name
    return [player if isinstance(player, str) else player.name for player in players]
