"""What differs between the configuration in force and the one of the file, in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .config import Config, DeviceConfig

#: Of [bridge]: what runs that start from now on are recorded with.
_RECORDING = ("data_dir", "min_free_bytes", "exports", "reports")


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """A device that is added (`before` is None), taken out (`after` is None) or changed."""

    before: DeviceConfig | None
    after: DeviceConfig | None

    @property
    def name(self) -> str:
        known = self.before or self.after
        assert known is not None
        return known.name

    def __str__(self) -> str:
        if self.after is None:
            return f"[devices.{self.name}]: taken out"
        if self.before is None:
            return f"[devices.{self.name}]: added, a {self.after.driver} at {self.after.address}"
        return f"[devices.{self.name}]: {'; '.join(differences(self.before, self.after))}"


def device_changes(old: Config, new: Config) -> list[DeviceChange]:
    """Those that are taken out first: another may be where they were."""
    gone = [DeviceChange(device, None) for name, device in old.devices.items() if name not in new.devices]
    changed = [
        DeviceChange(device, new.devices[name])
        for name, device in old.devices.items()
        if name in new.devices and new.devices[name] != device
    ]
    added = [DeviceChange(None, device) for name, device in new.devices.items() if name not in old.devices]
    return [*gone, *changed, *added]


def needs_restart(old: Config, new: Config) -> tuple[list[str], Config]:
    """What cannot change while the daemon runs; and the new configuration without it."""
    fixed = ("bridge", "prefix", "state_dir", "queue_bytes")
    found = [f"[bridge] {text}" for text in differences(old, new, fixed)]
    kept: dict[str, Any] = {name: getattr(old, name) for name in fixed}
    if old.state_dir != new.state_dir:  # which the runs' folder may follow
        kept["data_dir"] = old.data_dir
    if old.broker != new.broker:  # passwords are in it
        found.append("[broker]: changed")
        kept["broker"] = old.broker
    if old.web != new.web:
        found.append("[web]: changed")
        kept["web"] = old.web
    if (old.access is None) != (new.access is None):
        found.append(f"[access]: {'added' if old.access is None else 'taken out'}; requests have other topics then")
        kept["access"] = old.access
    if old.spool.commit_s != new.spool.commit_s:
        found += [f"[spool] {text}" for text in differences(old.spool, new.spool, ("commit_s",))]
        kept["spool"] = replace(new.spool, commit_s=old.spool.commit_s)
    return found, replace(new, **kept)


def others(old: Config, new: Config) -> list[str]:
    """What can change at once, whatever is under way."""
    found = [f"[bridge] {text}, for runs that start from now on" for text in differences(old, new, _RECORDING)]
    if old.procedures or new.procedures:  # their files may have changed, which nobody sees of them
        names = ", ".join(procedure.name for procedure in new.procedures) or "none"
        found.append(f"[bridge] procedures: read again, for runs that start from now on: {names}")
    found += [f"[watch] {text}, for runs that start from now on" for text in differences(old.watch, new.watch)]
    if old.access is not None and new.access is not None:
        found += [f"[access] {text}" for text in differences(old.access, new.access)]
    found += [f"[spool] {text}" for text in differences(old.spool, new.spool)]
    found += _optional("metrics", old.metrics, new.metrics)
    found += _optional("home_assistant", old.home_assistant, new.home_assistant)
    return found


def _optional(table: str, old: Any, new: Any) -> list[str]:
    """Of a table that may be absent."""
    if old is None or new is None:
        return [] if old == new else [f"[{table}]: {'added' if old is None else 'taken out'}"]
    return [f"[{table}] {text}" for text in differences(old, new)]


def differences(old: Any, new: Any, names: Iterable[str] = ()) -> list[str]:
    """Of two dataclasses of a kind: "FIELD is NEW, was OLD" for each field (or for `names`)."""
    found = []
    for name in tuple(names) or tuple(field.name for field in dataclasses.fields(new)):
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if dataclasses.is_dataclass(after) and type(before) is type(after):
            found += differences(before, after)
        elif (said := _shown(after)) == (was := _shown(before)):  # rules of one's own are shown by their names
            found.append(f"{name} has changed: {said}")
        else:
            found.append(f"{name} is {said}, was {was}")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) or "empty"
    if isinstance(value, tuple | list):
        return ", ".join(map(_shown, value)) or "empty"
    return str(getattr(value, "id", value))
