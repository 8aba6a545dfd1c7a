// What the colours and signs of the map mean, with counts.

import { h, s } from "../../dom.js";
import { scaleOf, plain } from "../../format.js";
import { cividis } from "./colours.js";
import { colours } from "./map.js";
import { frame, sign } from "./painting.js";
import { quantityName, unitOf } from "./quantities.js";

const SIZE = 24;

/** Bins, those that pass first, with how many cells each has. */
export function binLegend(sheet, looks, counts) {
  const rows = [...looks.values()].sort((a, b) => b.passes - a.passes || a.untested - b.untested || a.soft - b.soft);
  const words = (look) => (look.untested ? "" : look.passes ? "passes" : look.retest ? "touched again" : "fails");
  return h(
    "table",
    { class: "table legend-table" },
    h("caption", { class: "hidden-text" }, "Bins with their signs and how many cells each has"),
    h("thead", {}, h("tr", {}, ["Sign", "Bin", "Verdict", "Cells"].map((text, index) => h("th", { scope: "col" }, index % 2 ? text : h("span", { class: "hidden-text" }, text))))),
    h(
      "tbody",
      {},
      rows.map((look) => row(swatch({ ...look, letter: look.colour ? String(look.soft) : "" }), `${look.soft} ${look.name}`, words(look), counts.bySoft.get(look.soft) ?? 0, look.soft)),
      counts.waiting ? row(swatch({ colour: null, sign: "ring" }), "measured, not judged yet", "", counts.waiting, "waits") : null,
      sheet.skipped.size ? row(swatch({ colour: null, sign: "skipped" }), "skipped", "", sheet.skipped.size, "skipped") : null,
    ),
  );
}

function row(picture, name, words, count, key) {
  return h("tr", { "data-bin": key, "data-count": count }, h("td", {}, picture), h("td", {}, name), h("td", { class: "muted" }, words), h("td", { class: "number" }, String(count)));
}

/** A quantity's scale from its lowest to its highest colour. */
export function scaleLegend(quantity, span) {
  if (!span) return h("p", { class: "muted" }, "Nothing was measured of this quantity yet.");
  const [low, high, words] = span;
  const [factor, unit] = scaleOf(Math.max(Math.abs(low), Math.abs(high)), unitOf(quantity));
  const steps = Array.from({ length: 24 }, (_, index) => s("rect", { x: index * 10, y: 0, width: 10.5, height: 18, fill: cividis(index / 23) }));
  const numbers = [low, (low + high) / 2, high].map((value) => h("span", { class: "number" }, plain(value * factor, 4)));
  return h(
    "div",
    { class: "scale", "data-low": low, "data-high": high },
    h("p", {}, quantityName(quantity), unit ? ` / ${unit}` : ""),
    s("svg", { viewBox: "0 0 240 18", preserveAspectRatio: "none", "aria-hidden": "true" }, steps),
    h("div", { class: "scale-ends" }, numbers),
    h("p", { class: "muted small" }, `Colours span ${words}. `),
    h(
      "ul",
      { class: "signs small" },
      [["above", "beyond the upper end"], ["below", "beyond the lower end"]].map(([mark, text]) => h("li", {}, swatch({ colour: cividis(mark === "above" ? 1 : 0), sign: mark, ink: mark === "above" ? "#0b0f13" : "#ffffff" }), text)),
      h("li", {}, swatch({ colour: null, sign: "hollow" }), "not measured"),
    ),
  );
}

function swatch(look) {
  const canvas = h("canvas", { width: 2 * SIZE, height: 2 * SIZE, class: "swatch", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const palette = colours();
  context.scale(2, 2);
  if (look.colour) {
    context.fillStyle = look.colour;
    context.fillRect(1, 1, SIZE - 2, SIZE - 2);
  } else {
    context.fillStyle = palette.hollow;
    context.fillRect(1, 1, SIZE - 2, SIZE - 2);
    frame(context, 1, 1, SIZE - 2, SIZE - 2, palette.line);
  }
  sign(context, look, 1, 1, SIZE - 2, SIZE - 2, palette);
  return canvas;
}
