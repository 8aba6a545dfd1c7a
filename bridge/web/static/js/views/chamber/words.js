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

/** [what, text, known] of everything, in the order of the drawing. */
export function facts(chamber) {
  const { stage, tip, route, source, gauge } = chamber;
  const rows = [];
  if (source) {
    const flowing = source.current !== null ? `, ${si(source.current, "A")} at ${si(source.voltage, "V")}` : "";
    rows.push(["Source", told(source.cell, (cell) => CELL[cell] ?? String(cell)) + flowing, source.cell.known]);
  }
  if (route) rows.push(["Route", told(route.closed, (name) => (name === "open" ? "open: nothing is connected" : `${name} closed`)), route.closed.known]);
  if (tip) {
    const { contact, inserted } = tip;
    const by = [contact, inserted].find((each) => each.known && each.statedBy)?.statedBy;
    const why = contact.why && contact.why !== inserted.why ? contact.why : inserted.why || contact.why;
    const text = tip.at === "unknown" ? `not known: ${why}` : AT[tip.at] + (by ? `, says ${by}` : "");
    rows.push(["Manipulator", tip.moving ? `moving; ${text}` : text, tip.at !== "unknown"]);
    rows.push(["Its position", told(tip.position, place), tip.position.known]);
  }
  if (stage) {
    rows.push(["Stage", told(stage.position, (p) => (stage.moving ? `moving; ${place(p)}` : place(p))), stage.position.known]);
    const turned = (p) => `${angle(p.tilt_deg)}, rotation ${angle(p.rotation_deg)}`;
    rows.push(["Tilt", told(stage.position, turned), stage.position.known]);
    rows.push(["Touch alarm", told(stage.alarm, alarmWord), stage.alarm.known]);
  }
  if (gauge) {
    const limit = gauge.window ? `; the source needs ${si(gauge.window.on_at_most, "Pa")} at most` : "";
    rows.push(["Pressure", told(gauge.pressure, (value) => si(value, "Pa")) + limit, gauge.pressure.known]);
  }
  return rows;
}

/** One text that says what the drawing shows. */
export function description(chamber) {
  const said = facts(chamber).map(([what, text]) => `${what}: ${text}.`);
  return [chamber.doubt ? `What is shown may be old: ${chamber.doubt}` : "", ...said].filter(Boolean).join(" ");
}
