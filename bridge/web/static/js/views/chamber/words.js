// The chamber in words: beside the drawing, and instead of it for who does not see it.

import { plain, si } from "../../format.js";

const LENGTHS = ["x_m", "y_m", "z_m"];
const AT = {
  contact: "in contact",
  inserted: "inserted",
  parked: "parked",
  clear: "clear of the sample",
  unknown: "not known",
};
const ALARM = { armed: "armed", tripped: "tripped", disabled: "off" };
export const CELL = { on: "on", off: "off, proven", unknown: "not known" };

export function lengths(position) {
  return LENGTHS.filter((axis) => typeof position?.[axis] === "number").map((axis) => [axis[0], si(position[axis], "m", 4)]);
}

export function angle(degrees) {
  return typeof degrees === "number" ? `${plain(Math.round(degrees * 100) / 100, 5)}°` : "–";
}

/** A seen value with `say`, or that it is not known and why, with what was seen last. */
function told(seen, say) {
  if (seen.known) return seen.statedBy ? `${say(seen.value)}, says ${seen.statedBy}` : say(seen.value);
  const last = seen.value !== null && seen.value !== "unknown" ? `; last ${say(seen.value)}` : "";
  return `not known: ${seen.why}${last}`;
}

const place = (position) => lengths(position).map(([axis, value]) => `${axis} ${value}`).join(", ") || "no axis is known";

export function alarmWord(value) {
  return ALARM[value] ?? String(value);
}

/** [what, text, known] of everything, in the order of the drawing; with names where there are several of a kind. */
export function facts({ all }) {
  return Object.entries(all).flatMap(([kind, found]) =>
    found.flatMap((each) => FACTS[kind](each).map(([what, ...rest]) => [found.length > 1 ? `${what} ${each.name}` : what, ...rest])),
  );
}

const FACTS = {
  source({ cell, current, voltage }) {
    const flowing = current === null ? "" : `, ${si(current, "A")} at ${si(voltage, "V")}`;
    return [["Source", told(cell, (value) => CELL[value] ?? String(value)) + flowing, cell.known]];
  },
  route({ closed }) {
    return [["Route", told(closed, (name) => (name === "open" ? "open: nothing is connected" : `${name} closed`)), closed.known]];
  },
  tip({ at, contact, inserted, position, moving }) {
    const by = [contact, inserted].find((each) => each.known && each.statedBy)?.statedBy;
    const why = contact.why || inserted.why;
    const text = at === "unknown" ? `not known: ${why}` : AT[at] + (by ? `, says ${by}` : "");
    return [
      ["Manipulator", moving ? `moving; ${text}` : text, at !== "unknown"],
      ["Its position", told(position, place), position.known],
    ];
  },
  stage({ position, alarm, moving }) {
    return [
      ["Stage", told(position, (value) => (moving ? `moving; ${place(value)}` : place(value))), position.known],
      ["Tilt", told(position, (value) => `${angle(value.tilt_deg)}, rotation ${angle(value.rotation_deg)}`), position.known],
      ["Touch alarm", told(alarm, alarmWord), alarm.known],
    ];
  },
  gauge({ pressure, window }) {
    const limit = window ? `; the source needs ${si(window.on_at_most, "Pa")} at most` : "";
    return [["Pressure", told(pressure, (value) => si(value, "Pa")) + limit, pressure.known]];
  },
};

/** One text that says what the drawing shows. */
export function description(chamber) {
  const said = facts(chamber).map(([what, text]) => `${what}: ${text}.`);
  return [chamber.doubt ? `What is shown may be old: ${chamber.doubt}` : "", ...said].filter(Boolean).join(" ");
}
