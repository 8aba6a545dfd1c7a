// The vacuum chamber as a drawing: what a person would see through the wall, and the wiring that nobody sees. What is not
// known is dashed and has a question mark; it is never drawn as if it were safe.

import { s } from "../../dom.js";
import { parts, si } from "../../format.js";
import { alarmWord, angle, description } from "./words.js";

/** The point about which the stage tilts, and at which the beams meet. */
const E = { x: 326, y: 226 };
const WALL = { left: 120, right: 514, top: 16, bottom: 336 };
const COLUMN_TILT = 52;

export function drawChamber(chamber) {
  const { stage, tip, route, source, gauge } = chamber;
  const tilt = stage?.position.known ? (stage.position.value.tilt_deg ?? 0) : null;
  const title = description(chamber);
  return s(
    "svg",
    { class: "chamber-drawing", viewBox: "0 0 524 388", role: "img", "aria-label": `The chamber. ${title}` },
    chamberWall(),
    columns(),
    stage ? drawStage(stage, tilt) : null,
    route ? drawWiring(route, source) : null,
    tip ? drawTip(tip, tilt ?? 0) : null,
    source ? drawSource(source) : null,
    gauge ? drawGauge(gauge) : null,
    stage ? stageWords(stage, tilt) : null,
  );
}

function chamberWall() {
  const { left, right, top, bottom } = WALL;
  return s("rect", { class: "wall", x: left, y: top, width: right - left, height: bottom - top, rx: 20 });
}

/** Electron column upright, ion column at its angle; picobridge does not know whether their beams are on. */
function columns() {
  const shape = `M${E.x - 27} ${E.y - 218}H${E.x + 27}V${E.y - 176}L${E.x + 9} ${E.y - 132}H${E.x - 9}L${E.x - 27} ${E.y - 176}Z`;
  const name = (text, at) => s("text", { class: "name", x: at.x, y: at.y, "text-anchor": "middle" }, text);
  const turned = ((COLUMN_TILT - 90) * Math.PI) / 180;
  const ion = { x: E.x + 190 * Math.cos(turned), y: E.y + 190 * Math.sin(turned) + 5 };
  return [
    s("path", { class: "column", d: shape }),
    s("path", { class: "column", d: shape, transform: `rotate(${COLUMN_TILT} ${E.x} ${E.y})` }),
    name("e⁻", { x: E.x, y: E.y - 188 }),
    name("ion", ion),
  ];
}

function drawStage(stage, tilt) {
  const known = tilt !== null;
  const at = (x, y) => `${E.x + x} ${E.y + y}`;
  const layers = [["collector", -18, 5], ["cathode", -13, 9], ["electrolyte", -4, 5], ["anode", 1, 7]];
  return [
    s("path", { class: "base", d: `M${at(-86, 108)}v-10h60a26 26 0 0 1 52 0h60v10Z` }),
    s(
      "g",
      { class: known ? "stage" : "stage not-known", transform: `rotate(${tilt ?? 0} ${E.x} ${E.y})`, "data-tilt": known ? tilt : "unknown" },
      s("rect", { class: "platform", x: E.x - 78, y: E.y + 38, width: 156, height: 13, rx: 3 }),
      s("path", { class: "platform", d: `M${at(-12, 51)}h24v22h-24Z` }),
      s("path", { class: "grid-post", d: `M${at(-44, 38)}v-16h12v-12h10v12h17v-14h10v14h17v-12h10v12h12v16Z` }),
      layers.map(([kind, y, height]) => s("rect", { class: `layer ${kind}`, x: E.x - 9, y: E.y + y, width: 18, height })),
    ),
    known ? null : s("text", { class: "question", x: E.x + 60, y: E.y + 36, "text-anchor": "middle" }, "?"),
    stage.moving ? s("text", { class: "alert", x: E.x, y: E.y + 92, "text-anchor": "middle" }, "moving") : null,
  ];
}

/** The battery's corner that the tip touches, on a stage tilted by so many degrees. */
function touchPoint(tilt) {
  const turn = (tilt * Math.PI) / 180;
  const [x, y] = [-9, -18];
  return { x: E.x + x * Math.cos(turn) - y * Math.sin(turn), y: E.y + x * Math.sin(turn) + y * Math.cos(turn) };
}

function drawTip(tip, tilt) {
  const wall = { x: WALL.left, y: 96 };
  const touch = touchPoint(tilt);
  const share = { contact: 1, inserted: 0.86, clear: 0.72, parked: 0.3, unknown: 0.6 }[tip.at];
  const end = { x: wall.x + (touch.x - wall.x) * share, y: wall.y + (touch.y - wall.y) * share };
  const long = Math.hypot(end.x - wall.x, end.y - wall.y);
  const [nx, ny] = [-(end.y - wall.y) / long, (end.x - wall.x) / long];
  const thick = (at, width) => [`${at.x + nx * width} ${at.y + ny * width}`, `${at.x - nx * width} ${at.y - ny * width}`];
  const shoulder = { x: wall.x + (end.x - wall.x) * 0.62, y: wall.y + (end.y - wall.y) * 0.62 };
  const [a, b] = [thick(wall, 6), thick(shoulder, 4.5)];
  const words = { contact: "in contact", inserted: "inserted", clear: "clear", parked: "parked", unknown: "not known" }[tip.at];
  return s(
    "g",
    { class: `tip ${tip.at}`, "data-tip": tip.at },
    s("path", { class: "needle", d: `M${a[0]}L${b[0]}L${end.x} ${end.y}L${b[1]}L${a[1]}Z` }),
    s("rect", { class: "mount", x: wall.x - 9, y: wall.y - 15, width: 18, height: 30, rx: 3 }),
    tip.at === "contact" ? s("circle", { class: "touch", cx: end.x, cy: end.y, r: 5 }) : s("circle", { class: "no-touch", cx: end.x, cy: end.y, r: 5 }),
    tip.at === "unknown" ? s("text", { class: "question", x: end.x + 14, y: end.y + 4 }, "?") : null,
    s("text", { class: "name", x: wall.x + 18, y: 43 }, "manipulator"),
    s("text", { class: tip.at === "unknown" ? "doubt" : "value", x: wall.x + 18, y: 63 }, tip.moving ? `moving, ${words}` : words),
  );
}

/** Each route is a switch in the feedthrough's flange and a line to where it leads. */
function drawWiring(route, source) {
  const { routes, closed } = route;
  const [from, to] = [212, 316];
  const step = routes.length > 1 ? Math.min(36, (to - from) / (routes.length - 1)) : 0;
  const start = (from + to) / 2 - (step * (routes.length - 1)) / 2;
  const lines = routes.map(({ name, end }, index) => {
    const y = start + index * step;
    const is = !closed.known ? "unknown" : closed.value === name ? "closed" : "open";
    const live = is === "closed" && source?.cell.value === "on";
    const blade = { closed: `M103 ${y}H133`, open: `M103 ${y}L128 ${y - 11}`, unknown: `M103 ${y}L130 ${y - 6}` }[is];
    return s(
      "g",
      { class: `route ${is}${live ? " live" : ""}`, "data-route": name, "data-state": is },
      s("path", { class: "wire", d: `M92 ${y}H103M133 ${y}${lead(end, y, index)}` }),
      s("path", { class: "blade", d: blade }),
      s("circle", { class: "pole", cx: 103, cy: y, r: 3 }),
      s("circle", { class: "pole", cx: 133, cy: y, r: 3 }),
      is === "unknown" ? s("text", { class: "question small", x: 118, y: y - 8, "text-anchor": "middle" }, "?") : null,
      s("text", { class: "name", x: 152, y: y - 5 }, name),
    );
  });
  const bus = routes.length > 1 ? s("path", { class: "wire bus", d: `M92 ${start}V${start + step * (routes.length - 1)}` }) : null;
  return [s("rect", { class: "flange", x: 108, y: start - 20, width: 20, height: step * (routes.length - 1) + 40, rx: 4 }), bus, lines];
}

/** From the switch to the manipulator's shaft, to the sample's grid, or to the stage's base. */
function lead(end, y, index) {
  if (end === "tip") return `H144V108`;
  if (end === "stage") return `H${E.x - 88}V${E.y + 102}h10`;
  return `H${E.x - 60 - index * 6}V${E.y + 30}H${E.x - 44}`;
}

function drawSource(source) {
  const is = source.cell.known ? source.cell.value : "unknown";
  const words = { on: "ON", off: "OFF" }[is] ?? "?";
  const current = source.current === null ? null : parts(source.current, "A");
  return s(
    "g",
    { class: `source ${is}`, "data-source": is },
    s("path", { class: "wire bus", d: "M80 264H92" }),
    s("rect", { class: "box", x: 6, y: 226, width: 76, height: 76, rx: 8 }),
    s("circle", { class: "lamp", cx: 44, cy: 254, r: 17 }),
    s("text", { class: "word", x: 44, y: 259, "text-anchor": "middle" }, words),
    s("text", { class: "value number", x: 44, y: 291, "text-anchor": "middle" }, current ? `${current.number} ${current.unit}` : "source"),
    s("text", { class: "name", x: 44, y: 322, "text-anchor": "middle" }, source.name),
  );
}

function drawGauge(gauge) {
  const { pressure, window, open } = gauge;
  const is = open === null ? (pressure.known ? "plain" : "unknown") : open ? "good" : "bad";
  const sign = { good: "✓", bad: "✕", unknown: "?", plain: "" }[is];
  const at = 460;
  return s(
    "g",
    { class: `gauge ${is}`, "data-vacuum": is },
    s("text", { class: "name", x: at, y: 258, "text-anchor": "middle" }, "vacuum"),
    s("text", { class: "value large number", x: at, y: 281, "text-anchor": "middle" }, pressure.known ? `${sign} ${si(pressure.value, "Pa")}` : "? not known"),
    window ? s("text", { class: "name number", x: at, y: 301, "text-anchor": "middle" }, `limit ${si(window.on_at_most, "Pa")}`) : null,
  );
}

function stageWords(stage, tilt) {
  const alarm = stage.alarm.known ? stage.alarm.value : "unknown";
  const sign = { armed: "✓", tripped: "✕", disabled: "✕" }[alarm] ?? "?";
  const word = alarm === "unknown" ? "not known" : alarmWord(alarm);
  return [
    s("text", { class: tilt === null ? "doubt number" : "value number", x: WALL.left + 8, y: 358 }, tilt === null ? "? tilt not known" : `tilt ${angle(tilt)}`),
    s("text", { class: `alarm ${alarm}`, x: WALL.right - 8, y: 358, "text-anchor": "end", "data-alarm": alarm }, `${sign} touch alarm ${word}`),
    s("text", { class: "name", x: WALL.left + 8, y: 381 }, stage.name),
  ];
}
