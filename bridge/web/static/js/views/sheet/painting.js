// The map on a canvas: thousands of cells, each a colour and a sign, with rows and columns labelled.

import { linearTicks } from "../../ticks.js";
import { cividis } from "./colours.js";

/** Room for the labels, in CSS pixels. */
export const MARGIN = { left: 40, top: 26 };
const LETTERS_FROM = 16;
const SIGNS_FROM = 5;
const FRAMED_FROM = 10;

/** Where cells lie at so many pixels a column: {width, height, dx, dy, box(cell), cellAt(x, y)}. */
export function layout(sheet, dx) {
  const [px, py] = sheet.pitch ? sheet.pitch.map(Math.abs) : [1, 1];
  const dy = Math.max(3, Math.round(dx * Math.min(3, Math.max(1 / 3, py / px || 1))));
  const rowAt = (row) => (sheet.up ? sheet.rows - 1 - row : row);
  return {
    dx,
    dy,
    width: MARGIN.left + sheet.columns * dx + 1,
    height: MARGIN.top + sheet.rows * dy + 1,
    box: (cell) => [MARGIN.left + sheet.column[cell] * dx, MARGIN.top + rowAt(sheet.row[cell]) * dy],
    cellAt: (x, y) => sheet.at(rowAt(Math.floor((y - MARGIN.top) / dy)), Math.floor((x - MARGIN.left) / dx)),
    rowAt,
  };
}

/**
 * Draw all of it. `show` is {quantity ("" for the bins), looks, span, selected, marked: Set}; `colours` are those of the
 * theme. Returns how many cells were drawn in which way, for who wants to know: {filled, hollow}.
 */
export function paint(context, sheet, place, show, colours) {
  const { width, height, dx, dy } = place;
  context.clearRect(0, 0, width, height);
  labels(context, sheet, place, colours);
  const gap = dx >= 6 ? 1 : 0;
  const signs = Math.min(dx, dy) >= SIGNS_FROM;
  const drawn = { filled: 0, hollow: 0 };
  for (let cell = 0; cell < sheet.count; cell++) {
    const [x, y] = place.box(cell);
    const [w, h] = [dx - gap, dy - gap];
    const look = lookOf(sheet, cell, show);
    if (look.colour) {
      context.fillStyle = look.colour;
      context.fillRect(x, y, w, h);
      drawn.filled++;
    } else {
      context.fillStyle = colours.hollow;
      context.fillRect(x, y, w, h);
      if (dx >= FRAMED_FROM) frame(context, x, y, w, h, colours.line);
      drawn.hollow++;
    }
    if (signs) sign(context, look, x, y, w, h, colours);
  }
  for (const cell of show.marked) outline(context, place, cell, colours.danger, 2);
  if (show.selected >= 0) outline(context, place, show.selected, colours.ink, 3);
  return drawn;
}

/** {colour, sign, ink, letter} of a cell. */
export function lookOf(sheet, cell, show) {
  if (sheet.skipped.has(cell)) return { colour: null, sign: "skipped" };
  if (show.quantity) {
    const value = sheet.value(cell, show.quantity);
    if (value === null || !show.span) return { colour: null, sign: sheet.record(cell) ? "dash" : "hollow" };
    const [low, high] = show.span;
    const share = high > low ? (value - low) / (high - low) : 0.5;
    const sign = value < low ? "below" : value > high ? "above" : "none";
    return { colour: cividis(share), sign, ink: share < 0.55 ? "#ffffff" : "#0b0f13" };
  }
  if (sheet.waits(cell)) return { colour: null, sign: "ring" };
  const look = show.looks.get(sheet.soft(cell)) ?? { colour: null, sign: "hollow" };
  return { ...look, letter: look.colour ? String(look.soft) : "" };
}

/** The sign of a look within a box, as in the legend. */
export function sign(context, look, x, y, w, h, colours) {
  const ink = look.ink ?? colours.muted;
  if (look.letter && Math.min(w, h) >= LETTERS_FROM) {
    context.fillStyle = ink;
    context.font = `600 ${Math.round(Math.min(h * 0.62, 18))}px ${colours.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(look.letter, x + w / 2, y + h / 2 + 0.5);
    return;
  }
  const path = SIGNS[look.sign];
  if (!path) return;
  const small = Math.min(w, h);
  context.save();
  context.translate(x + w / 2, y + h / 2);
  context.scale(small / 2, small / 2);
  context.beginPath();
  path(context);
  context.restore();
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = Math.max(1, small / 9);
  if (FILLED.has(look.sign)) context.fill();
  else context.stroke();
}

/** Each in a box from -1 to 1. */
const SIGNS = {
  cross: (c) => (c.moveTo(-0.55, -0.55), c.lineTo(0.55, 0.55), c.moveTo(-0.55, 0.55), c.lineTo(0.55, -0.55)),
  slash: (c) => (c.moveTo(-0.6, 0.6), c.lineTo(0.6, -0.6)),
  back: (c) => (c.moveTo(-0.6, -0.6), c.lineTo(0.6, 0.6)),
  dash: (c) => (c.moveTo(-0.6, 0), c.lineTo(0.6, 0)),
  bar: (c) => (c.moveTo(0, -0.6), c.lineTo(0, 0.6)),
  plus: (c) => (c.moveTo(-0.6, 0), c.lineTo(0.6, 0), c.moveTo(0, -0.6), c.lineTo(0, 0.6)),
  double: (c) => (c.moveTo(-0.6, -0.3), c.lineTo(0.6, -0.3), c.moveTo(-0.6, 0.3), c.lineTo(0.6, 0.3)),
  square: (c) => c.rect(-0.5, -0.5, 1, 1),
  ring: (c) => c.arc(0, 0, 0.5, 0, 2 * Math.PI),
  dot: (c) => c.arc(0, 0, 0.3, 0, 2 * Math.PI),
  skipped: (c) => (c.moveTo(-0.35, -0.35), c.lineTo(0.35, 0.35)),
  above: (c) => (c.moveTo(0, -0.75), c.lineTo(0.6, 0.05), c.lineTo(-0.6, 0.05), c.closePath()),
  below: (c) => (c.moveTo(0, 0.75), c.lineTo(0.6, -0.05), c.lineTo(-0.6, -0.05), c.closePath()),
};
const FILLED = new Set(["dot", "above", "below"]);

/** Of a cell without a colour. */
export function frame(context, x, y, w, h, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
}

function outline(context, place, cell, colour, width) {
  if (cell < 0) return;
  const [x, y] = place.box(cell);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x - width / 2, y - width / 2, place.dx + width - 1, place.dy + width - 1);
}

function labels(context, sheet, place, colours) {
  context.fillStyle = colours.muted;
  context.font = `12px ${colours.font}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  const whole = (count, length) => linearTicks(0, count - 1, Math.max(1, length)).filter((value) => value === Math.round(value) && value < count);
  for (const column of whole(sheet.columns, (sheet.columns * place.dx) / 44)) {
    context.fillText(`c${column}`, MARGIN.left + (column + 0.5) * place.dx, 12);
  }
  context.textAlign = "right";
  for (const row of whole(sheet.rows, (sheet.rows * place.dy) / 26)) {
    context.fillText(`r${row}`, MARGIN.left - 6, MARGIN.top + (place.rowAt(row) + 0.5) * place.dy);
  }
}
