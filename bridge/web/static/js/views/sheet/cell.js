// One cell of a sheet: its bin, what was measured of it, and every visit to it.

import { h } from "../../dom.js";
import { duration } from "../../format.js";
import { dateTime, fromNs } from "../../time.js";
import { ordered, quantityName, say } from "./quantities.js";
import { cellName } from "./state.js";

export function drawCell(sheet, looks, cell) {
  const name = cellName(sheet.row[cell], sheet.column[cell]);
  const record = sheet.record(cell);
  const history = sheet.history(cell);
  return h(
    "div",
    { class: "stack cell-data", "data-cell": name },
    h("h3", {}, `Row ${sheet.row[cell]}, column ${sheet.column[cell]}`),
    h("p", { class: "cell-bin" }, stands(sheet, looks, cell)),
    record?.error ? h("p", { class: "notice warning" }, record.error) : null,
    record ? values(sheet, record) : null,
    history.length ? visits(history, looks, sheet) : null,
  );
}

/** Its bin in words. */
export function stands(sheet, looks, cell) {
  if (sheet.skipped.has(cell)) return "Skipped: it is not to be touched.";
  const record = sheet.record(cell);
  if (!record) return "Not measured yet.";
  if (sheet.waits(cell)) return "Measured; judged as soon as the limits are there.";
  const look = looks.get(record.soft);
  if (!look) return `Bin ${record.soft}`;
  return `Bin ${look.soft}, ${look.name}${look.untested ? "" : look.passes ? ": passes" : look.retest ? ": to be touched again" : ": fails"}`;
}

function values(sheet, record) {
  return h(
    "dl",
    { class: "facts number" },
    ordered(Object.keys(record.values ?? {})).map((name) => [
      h("dt", {}, quantityName(name)),
      h("dd", { "data-quantity": name }, say(name, record.values[name]), outside(sheet, name, record.values[name])),
    ]),
  );
}

function outside(sheet, name, value) {
  const { low, high } = sheet.limits[name] ?? {};
  if (typeof value !== "number") return "";
  if (typeof low === "number" && value < low) return ` (below ${say(name, low)})`;
  if (typeof high === "number" && value > high) return ` (above ${say(name, high)})`;
  return "";
}

function visits(history, looks, sheet) {
  const bin = (record) => (record.error ? "no record" : record.soft === sheet.untested ? "not judged" : `${record.soft} ${looks.get(record.soft)?.name ?? ""}`);
  return h(
    "div",
    { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Visits" },
    h(
      "table",
      { class: "table small" },
      h("caption", { class: "hidden-text" }, "Visits to this cell"),
      h("thead", {}, h("tr", {}, ["Visit", "Bin", "Site", "Channel", "When", "Took"].map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        history.map((record) =>
          h(
            "tr",
            { "data-record": record.record },
            [String(record.visit), bin(record), String(record.site), record.channel, dateTime(fromNs(record.at_ns)), duration(record.duration_s)].map((text) => h("td", { class: "number" }, text)),
          ),
        ),
      ),
    ),
  );
}
