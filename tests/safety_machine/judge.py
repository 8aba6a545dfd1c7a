"""What must never be, judged by what the simulated instruments say and by what was asked for: nothing the daemon says
of itself counts here but its answers, and of those only whether it has accepted.

Bounds are what docs/safety.md promises and a little for the wire, in the loop's time.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from mocks.world import OpenDrive
from mocks.world.happenings import Happening

from .audit_trail import AuditTrail
from .rig import DEVICES, Asked, Rig

CHAMBER = ("stage", "tip", "relay")
MOVES = ("move_to", "move_by")
#: The interlocks and leases are looked at so often; a reading that is asked for while an act lasts is made so often.
POLL_S, READ_S = 0.25, 1.0
#: A reading counts for so long; a lost vacuum ends an act after so long.
MAX_AGE_S, GRACE_S = 2.0, 1.5
#: From the decision to the instrument's doing it: exchanges under way, a ramp, the steps of the loop's time.
REACT_S = 0.5
#: A device that can be reached again is found, connected and made safe within so long.
RECOVER_S = 15.0
#: A stop answers within this, whatever the devices do.
STOP_S = 45.0
#: A technique begins and ends with some exchanges.
AROUND_S = 4.0


def group_of(device: str) -> tuple[str, ...]:
    return CHAMBER if device in CHAMBER else (device,)


@dataclass(slots=True)
class Held:
    """A lease that was granted. `until_s` is the latest time at which it may still count."""

    device: str
    fence: int
    ttl_s: float
    until_s: float
    over: bool = False


@dataclass(slots=True)
class Said:
    value: Any
    until_s: float


class Judge:
    """`wrong` is what was found. The machine tells it of faults that it made."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.wrong: list[str] = []
        self.history: deque[str] = deque(maxlen=60)
        self.leases: dict[str, Held] = {}
        self.said: dict[str, Said] = {}
        self.trail = AuditTrail()
        self.seen: Counter[str] = Counter()
        #: what is latched, by kind and device, with the number that was current when it came
        self.latched: dict[tuple[str, str], int] = {}
        #: number before which nothing that was asked may act any more, by device
        self.barrier: dict[str, int] = dict.fromkeys(DEVICES, 0)
        self.trouble: dict[str, set[str]] = {name: set() for name in DEVICES}
        self.well_since_s: dict[str, float] = dict.fromkeys(DEVICES, -1e9)
        self.vacuum_aside_until_s = -1.0
        self.bad_vacuum_since_s: float | None = None
        self.relay_pressed_s: float | None = None
        self._caused: dict[str, set[int]] = {name: set() for name in DEVICES}
        #: calls under a lease that counted when they were sent
        self._rightful: set[int] = set()
        self._number = 0
        self._runs_over: set[int] = set()
        self._kinds: dict[int, tuple[str, str]] = {}
        self.told_stop_s: dict[str, float] = {}

    def note(self, text: str) -> None:
        """For whoever reads of a failure."""
        self.history.append(f"{self.now:.3f}: {text}")

    def say(self, text: str) -> None:
        if not self.wrong:
            self.wrong = [*self.history, ""]
        self.wrong.append(f"{self.now:.3f}: {text}")

    @property
    def now(self) -> float:
        return self.rig.loop.time()

    # --- the truth -------------------------------------------------------------------------------------------------

    def energised(self) -> bool:
        return not isinstance(self.rig.world.terminals("pstat").drive, OpenDrive)

    def moving(self, device: str) -> bool:
        instrument = self.rig.mock(device)
        if device == "stage":
            return not instrument.arrived
        now_ns = instrument.timeline.now_ns
        return any(axis.motion.moving(now_ns) for axis in instrument.axes)

    def active(self, device: str) -> bool:
        return self.energised() if device == "pstat" else device in ("stage", "tip") and self.moving(device)

    def reachable(self, device: str) -> bool:
        """Whether the daemon must be able to command it, and to have done so by now."""
        up = self.rig.up_since_s
        since = self.well_since_s[device]
        return up is not None and not self.trouble[device] and self.now >= max(since, up) + RECOVER_S

    def clean(self, device: str) -> bool:
        """Nothing was wrong with its wire for a while, and the daemon is up: what it says, it says of the device."""
        return (
            self.rig.up_since_s is not None
            and not self.trouble[device]
            and self.now >= self.well_since_s[device] + RECOVER_S
        )

    # --- what the machine does to the rig ---------------------------------------------------------------------------

    def disturb(self, device: str, how: str) -> None:
        self.note(f"--- {device} {how}")
        self.trouble[device].add(how)
        if how == "out":
            if self.rig.up_since_s is not None and self.active(device):
                self._latch("lost", device)
            for name in [name for name in self.said if name.startswith(f"{device}.")]:
                del self.said[name]
        self.look_at_vacuum()

    def calm(self, device: str) -> None:
        self.note(f"--- {device} is well")
        self.trouble[device].clear()
        self.well_since_s[device] = self.now
        self.look_at_vacuum()

    def look_at_vacuum(self) -> None:
        gauge, chamber = self.rig.mock("gauge"), self.rig.world.chamber
        bad = bool(self.trouble["gauge"]) or gauge.status.get(1, 0) != 0 or chamber.pressure_pa > 2e-3
        if not bad:
            self.bad_vacuum_since_s = None
        elif self.bad_vacuum_since_s is None:
            self.bad_vacuum_since_s = self.now

    def daemon_ends(self, *, killed: bool) -> None:
        """Leases and what was stated are void; a run that was killed is latched by the next one."""
        self.note("--- the daemon is killed" if killed else "--- the daemon ends")
        runs = any(run.granted and run.number not in self._runs_over for run in self._runs())
        if killed and runs and self.energised():
            self._latch("interrupted", "pstat")
        for held in self.leases.values():
            held.over = True
        self.said.clear()
        self.vacuum_aside_until_s = -1.0
        self._runs_over.update(run.number for run in self._runs())
        number = self._next_number()
        self.barrier = dict.fromkeys(DEVICES, number)

    # --- requests ---------------------------------------------------------------------------------------------------

    def sent(self, asked: Asked) -> None:
        self._number = asked.number
        self.note(f"#{asked.number} {asked.sender} {asked.lease[:4]}/{asked.fence} {asked.method} {dict(asked.params)}")
        if asked.method == "call" and self._lease_counts(asked):
            self._rightful.add(asked.number)

    def answered(self, asked: Asked) -> None:
        assert asked.done_number is not None
        self._number = asked.done_number
        outcome = asked.error["message"] if asked.error else asked.result
        self.note(f"    answer {asked.number}: {outcome!s:.200}")
        if asked.method in ("stop", "emergency_stop") or asked.params.get("method") in ("stop", "cell_off"):
            self._judge_stop(asked)
        if asked.error is not None:
            self.seen[f"refused {asked.method}: {asked.error['error']}"] += 1
            return
        self.seen[f"{asked.method} {asked.params.get('method', '')}".strip()] += 1
        handler = getattr(self, f"_on_{asked.method}", None)
        if handler is not None:
            handler(asked)

    def _on_lease(self, asked: Asked) -> None:
        group = group_of(asked.params["device"])
        for held in self.leases.values():
            if held.device in group:
                held.over = True
        granted, ttl_s = asked.result, asked.result["ttl_s"]
        self.leases[granted["lease"]] = Held(asked.params["device"], granted["fence"], ttl_s, self.now + ttl_s)

    def _on_renew(self, asked: Asked) -> None:
        held = self.leases[asked.params["lease"]]
        held.until_s = self.now + held.ttl_s

    def _on_release(self, asked: Asked) -> None:
        held = self.leases.get(asked.params["lease"])
        if held is not None and not held.over:
            held.over, held.until_s = True, min(held.until_s, self.now)

    def _on_abort(self, asked: Asked) -> None:
        for run in self._runs():
            if run.granted and run.result["run"] == asked.params["run"]:
                self._runs_over.add(run.number)
        self._must_be_off("an abort was answered")

    def _on_faults(self, asked: Asked) -> None:
        self._kinds |= {one["id"]: (one["kind"], one["device"] or "") for one in asked.result["open"] if one["id"]}

    def _on_acknowledge(self, asked: Asked) -> None:
        key = self._kinds.get(asked.params["fault"])
        if key is not None and self.latched.pop(key, None) is not None:
            kept = [device for device in DEVICES if not key[1] or device in group_of(key[1])]
            for device in kept:
                self.barrier[device] = self._number

    def _on_state(self, asked: Asked) -> None:
        self.said[asked.params["input"]] = Said(asked.params["value"], self.now + 600)

    def _on_override(self, asked: Asked) -> None:
        self.vacuum_aside_until_s = self.now + 600

    def _on_end_override(self, asked: Asked) -> None:
        self.vacuum_aside_until_s = self.now

    def _judge_stop(self, asked: Asked) -> None:
        """The safe direction always works: it is answered in time, and what can be reached is off and at rest."""
        took_s = self.now - asked.sent_s
        if took_s > STOP_S:
            self.say(f"{asked.method} took {took_s:.1f} s")
        whole = asked.method in ("stop", "emergency_stop")
        concerned = [name for name in DEVICES if whole or name == asked.params["device"]]
        for device in concerned:
            if not self.clean(device):
                continue
            outcome = "safe" if asked.error is None else asked.error
            if whole and asked.error is None:
                outcome = asked.result["devices"][device]
            if outcome != "safe":
                self.say(f"{asked.method} {asked.params}: {device} is well, and is {outcome}")
            if self.active(device):
                self.say(f"{asked.method} was answered, and {device} is still active")
        if asked.error is not None:
            return
        for device in concerned:
            if self.clean(device) and asked.params.get("method") != "cell_off":  # a run goes on with its next technique
                self.barrier[device] = max(self.barrier[device], asked.number)
        if whole:
            self._runs_over.update(run.number for run in self._runs() if run.number < asked.number)
        if asked.method == "emergency_stop":
            self._latch("emergency_stop", "")

    def _must_be_off(self, why: str) -> None:
        if self.clean("pstat") and self.energised():
            self.say(f"{why}, and the source is on")

    def _latch(self, kind: str, device: str) -> None:
        self.seen[f"latched {kind}"] += 1
        self.latched[kind, device] = self._next_number()

    def _next_number(self) -> int:
        """Between what was sent before and what comes after."""
        return self._number

    def _runs(self) -> list[Asked]:
        return [asked for asked in self.rig.asked if asked.method == "run"]

    # --- at each happening ------------------------------------------------------------------------------------------

    def happened(self, happening: Happening) -> None:
        """At the moment when an instrument takes the bytes."""
        device, what = happening.device, happening.what
        self.seen[f"{device} {what}"] += 1
        self.note(f"        {device} {what}")
        if what == "off":
            self._went_off()
            return
        cause = self._cause(device)
        if cause is None:
            self.say(f"{device} {what}, and nobody has asked for it under a lease that counts, or as a run")
            return
        if device == "relay" and cause.number in self._caused[device]:
            return  # a switching that has begun is carried to its end: half a route is worse
        self._caused[device].add(cause.number)
        self.trail.read(self.rig.state_dir)
        if self.trail.intents[device] < len(self._caused[device]):
            self.say(f"{device} {what}, and the audit does not say so: {self.trail.intents} {self._caused}")
        if cause.number <= self.barrier[device]:
            self.say(f"{device} {what} by a request from before a stop or an acknowledgement: {cause}")
        for kind, of in self.latched:
            if not of or device in group_of(of):
                self.say(f"{device} {what} while {kind} of {of or 'everything'} is latched")
        getattr(self, f"_{what}")(device)

    def _cause(self, device: str) -> Asked | None:
        """The newest request that may be behind it."""
        for asked in reversed(self.rig.asked):
            if device == "pstat":
                if asked.method == "run" and self._run_counts(asked):
                    return asked
            elif not asked.done and asked.method == "call" and asked.params["device"] == device:
                # the last check is before the driver's first question, and several commands may belong to one act
                counts = asked.number in self._rightful and self._lease_lately(asked)
                if asked.params["method"] in (*MOVES, "select") and counts:
                    return asked
        return None

    def _run_counts(self, run: Asked) -> bool:
        alive = not run.orphaned and run.error is None and run.number not in self._runs_over
        return alive and self.now <= run.sent_s + run.params["parameters"]["duration_s"] + AROUND_S

    def _lease_counts(self, asked: Asked) -> bool:
        held = self.leases.get(asked.lease)
        if held is None or held.device not in group_of(asked.params["device"]):
            return False
        if asked.fence not in (None, held.fence):
            return False
        return not held.over and self.now <= held.until_s + 1e-6

    def _energised(self, device: str) -> None:
        for mover in ("stage", "tip"):
            if self.clean(mover) and self.moving(mover):
                self.say(f"the source is switched on while {mover} moves")
        since_s = self.bad_vacuum_since_s
        if since_s is not None and self.now > max(since_s + MAX_AGE_S + REACT_S, self.vacuum_aside_until_s):
            self.say(f"the source is switched on, and the vacuum is bad since {since_s:.3f}")

    def _moves(self, device: str) -> None:
        if self.clean("pstat") and self.energised():
            self.say(f"{device} moves while the source is on")
        other = "tip" if device == "stage" else "stage"
        if self.clean(other) and self.moving(other):
            self.say(f"{device} moves while {other} moves")
        if device == "tip":
            self.said.pop("tip.contact", None)
            return
        if not self._says("tip.contact", False):
            self.say("the stage moves, and nobody has said that the tip is clear")
        if not self._says("stage.touch_alarm", "armed"):
            self.say("the stage moves, and nobody has said that the touch alarm is armed")
        pressed_s = self.relay_pressed_s
        if pressed_s is not None and self.now > pressed_s + MAX_AGE_S + REACT_S:
            self.say(f"the stage moves, and the route is {self.rig.world.wiring.route}")

    def _switched(self, device: str) -> None:
        self.route_is()
        for mover in ("stage", "tip"):
            if self.clean(mover) and self.moving(mover):
                self.say(f"the feedthrough switches while {mover} moves")

    def route_is(self) -> None:
        """Since when a relay is closed."""
        if self.rig.world.wiring.route == "open":
            self.relay_pressed_s = None
        elif self.relay_pressed_s is None:
            self.relay_pressed_s = self.now

    def _says(self, input: str, value: Any) -> bool:
        said = self.said.get(input)
        return said is not None and said.value == value and self.now <= said.until_s + 1e-6

    def _went_off(self) -> None:
        """If nobody has switched it off, and no time was up, the lost vacuum has, which is latched."""
        since_s = self.bad_vacuum_since_s
        lost = since_s is not None and self.now - since_s >= GRACE_S
        asked = any(
            not one.done and (one.method in ("stop", "emergency_stop", "abort") or one.params.get("device") == "pstat")
            for one in self.rig.asked
            if one.method != "run"
        )
        run = next((run for run in reversed(self._runs()) if run.granted and run.number not in self._runs_over), None)
        early = run is not None and self.now < run.sent_s + run.params["parameters"]["duration_s"] - 0.5
        if lost and early and not asked and self.clean("pstat") and self.now > self.vacuum_aside_until_s:
            self._latch("interlock vacuum", "pstat")

    # --- while time passes ------------------------------------------------------------------------------------------

    def passing(self, now: float, then: float) -> None:
        """What is on or moves from `now` to `then` must be allowed to."""
        if self.rig.up_since_s is None or not self.rig.served:
            return
        if self.reachable("pstat") and self.energised():
            self._while_energised()
        for device in ("stage", "tip"):
            if self.reachable(device) and self.moving(device):
                self._while_moving(device)

    def _while_energised(self) -> None:
        if not any(self._run_counts(run) for run in self._runs()):
            self.say("the source is on, and there is no run")
        since_s = self.bad_vacuum_since_s
        if since_s is None or self.now <= self.vacuum_aside_until_s + GRACE_S + POLL_S + READ_S + REACT_S:
            return
        reading_s = MAX_AGE_S if self.trouble["gauge"] else READ_S
        if self.now > since_s + reading_s + READ_S + POLL_S + GRACE_S + REACT_S:
            self.say(f"the source is on, and the vacuum is bad since {since_s:.3f}")

    def _while_moving(self, device: str) -> None:
        counts = [
            asked
            for asked in self.rig.asked
            if not asked.done and asked.method == "call" and asked.params["device"] == device
            if asked.params["method"] in MOVES and self._lease_lately(asked)
        ]
        if not counts:
            self.say(f"{device} moves, and nobody who holds a lease has asked for it")
        if device == "stage":
            pressed_s, trouble = self.relay_pressed_s, self.trouble["relay"]
            bound_s = (MAX_AGE_S if trouble else READ_S) + READ_S + POLL_S + REACT_S
            if pressed_s is not None and self.now > pressed_s + bound_s:
                self.say(f"the stage moves, and a relay is closed since {pressed_s:.3f}")

    def _lease_lately(self, asked: Asked) -> bool:
        """Somebody holds the group, or did until the dead-man had to act."""
        group = group_of(asked.params["device"])
        late_s = POLL_S + REACT_S
        return any(held.device in group and self.now <= held.until_s + late_s for held in self.leases.values())
