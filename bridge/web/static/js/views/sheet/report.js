// A sheet as one follows it: yield, map with its legend, the cell that one points at, what stopped it.

import { h, replace, setText } from "../../dom.js";
import { duration, percent, plain } from "../../format.js";
import { drawCell, stands } from "./cell.js";
import { binLooks } from "./colours.js";
import { binLegend, scaleLegend } from "./legend.js";
import { SheetMap } from "./map.js";
import { ordered, quantityName, say } from "./quantities.js";

export class SheetReport {
  constructor() {
    this.sheet = null;
    this.looks = new Map();
    this.map = new SheetMap();
    this.heading = h("h2");
    this.numbers = h("dl", { class: "sheet-numbers" });
    this.stop = h("div", { role: "status" });
    this.choice = h("select", { class: "input", id: "sheet-quantity", onchange: () => this._draw() });
    this.spans = ["limits", "spread"].map((name) => h("button", { type: "button", onclick: () => this._spanBy(name) }, name));
    this.spanChoice = h("div", { class: "segments", role: "group", "aria-label": "Colours span" }, this.spans);
    this.spanBy = "limits";
    this.legend = h("div", { class: "sheet-legend" });
    this.cell = h("div", { class: "sheet-cell" }, h("p", { class: "muted" }, "No cell is chosen."));
    this.said = h("p", { class: "hidden-text", "aria-live": "polite" });
    const number = (label, name) => h("input", { class: "input", type: "number", min: "0", step: "1", inputmode: "numeric", "aria-label": label, name });
    this.rowInput = number("Row", "row");
    this.columnInput = number("Column", "column");
    const button = (text, label, press) => h("button", { type: "button", class: "button", "aria-label": label, onclick: press }, text);
    this.element = h(
      "article",
      { class: "sheet-report stack" },
      h("section", { class: "panel stack" }, this.heading, this.numbers, this.stop),
      h(
        "div",
        { class: "sheet-columns" },
        h(
          "section",
          { class: "panel stack", "aria-label": "Map" },
          h(
            "div",
            { class: "sheet-tools" },
            h("div", { class: "field" }, h("label", { for: "sheet-quantity" }, "Colours show"), this.choice),
            this.spanChoice,
            h("div", { class: "buttons", role: "group", "aria-label": "Size of the cells" }, button("−", "Smaller cells", () => this.map.zoomBy(1 / 1.5)), button("+", "Larger cells", () => this.map.zoomBy(1.5))),
          ),
          this.map.element,
        ),
        h(
          "div",
          { class: "stack" },
          h("section", { class: "panel", "aria-label": "Legend" }, this.legend),
          h(
            "section",
            { class: "panel stack", "aria-label": "Cell" },
            h("form", { class: "go-to", onsubmit: (event) => this._goTo(event) }, h("label", {}, "Row", this.rowInput), h("label", {}, "Column", this.columnInput), h("button", { class: "button", type: "submit" }, "Show")),
            this.said,
            this.cell,
          ),
        ),
      ),
    );
    this.map.addEventListener("select", (event) => this._selected(event.detail));
  }

  /** `run` is {status, values, stop, yields}: what the run's state or its result says beside the cells. */
  show(sheet, run) {
    if (sheet !== this.sheet) this.sheet = sheet;
    this.looks = binLooks(sheet.bins, sheet.untested);
    setText(this.heading, [sheet.lot && `Lot ${sheet.lot}`, `sheet ${sheet.sheet || "without a name"}`].filter(Boolean).join(", "));
    this._choices();
    this.counts = sheet.counts();
    const number = ([what, text, key, more]) => h("div", { "data-number": key }, h("dt", {}, what), h("dd", { class: "number" }, text, more ? h("span", { class: "more" }, more) : null));
    replace(this.numbers, this._numbers(run).map(number));
    const { stop } = run;
    replace(this.stop, stop ? h("p", { class: "notice danger", "data-stop": stop.rule }, h("strong", {}, `Stopped by rule ${stop.rule}`), h("span", { class: "text" }, stop.text)) : null);
    this.marked = new Set((stop?.cells ?? []).map(([row, column]) => sheet.at(row, column)).filter((cell) => cell >= 0));
    this._draw();
    if (this.map.show.selected >= 0) this._cell(this.map.show.selected);
  }

  _choices() {
    const names = ["", ...ordered(this.sheet.quantities)];
    const known = [...this.choice.options].map((option) => option.value);
    if (names.length === known.length && names.every((name, index) => name === known[index])) return;
    const chosen = this.choice.value;
    replace(this.choice, names.map((name) => h("option", { value: name }, name ? quantityName(name) : "bins")));
    this.choice.value = names.includes(chosen) ? chosen : "";
  }

  _numbers({ values = {}, yields = values }) {
    const { counts, sheet } = this;
    const share = yields.yield ?? null;
    const interval = typeof yields.yield_low === "number" && share !== null ? `${percent(yields.yield_low)} to ${percent(yields.yield_high)}` : "";
    const rows = [
      ["Yield", share === null ? "nothing judged yet" : percent(share, 4), "yield", interval],
      ["Passed", `${yields.passed ?? counts.passed} of ${yields.judged ?? yields.cells_judged ?? counts.judged} judged`, "passed"],
      ["Measured", `${counts.measured} of ${sheet.count - sheet.skipped.size}`, "measured"],
    ];
    if (values.cells_per_hour) rows.push(["Rate", `${plain(values.cells_per_hour, 4)} cells an hour`, "rate"]);
    if (typeof values.remaining_s === "number" && values.remaining_s > 0) rows.push(["To go", duration(Math.round(values.remaining_s)), "left"]);
    return rows;
  }

  _draw() {
    const { sheet, looks } = this;
    if (!sheet) return;
    const quantity = this.choice.value;
    const span = quantity ? sheet.spanOf(quantity, this.spanBy) : null;
    this.spanChoice.hidden = !quantity || !sheet.hasLimits(quantity);
    this.spans.forEach((button) => button.setAttribute("aria-pressed", button.textContent === this.spanBy));
    this.map.set(sheet, { quantity, looks, span, marked: this.marked });
    replace(this.legend, quantity ? scaleLegend(quantity, span) : binLegend(sheet, looks, this.counts));
    this.map.canvas.setAttribute("aria-label", this._text(quantity, span));
  }

  _spanBy(name) {
    this.spanBy = name;
    this._draw();
  }

  _text(quantity, span) {
    const { sheet, looks, counts } = this;
    const start = `Map of ${sheet.rows} rows and ${sheet.columns} columns, ${counts.measured} of ${sheet.count} cells measured.`;
    if (quantity) return `${start} ${quantityName(quantity)}${span ? ` from ${say(quantity, span[0])} to ${say(quantity, span[1])}` : ", nothing measured"}.`;
    const bins = [...looks.values()].filter((look) => counts.bySoft.get(look.soft)).map((look) => `${look.name}: ${counts.bySoft.get(look.soft)}`);
    return `${start} ${bins.join(", ")}.`;
  }

  _selected(cell) {
    this.rowInput.value = this.sheet.row[cell];
    this.columnInput.value = this.sheet.column[cell];
    const quantity = this.choice.value;
    const value = quantity ? `, ${quantityName(quantity)} ${say(quantity, this.sheet.value(cell, quantity))}` : "";
    setText(this.said, `Row ${this.sheet.row[cell]}, column ${this.sheet.column[cell]}. ${stands(this.sheet, this.looks, cell)}${value}`);
    this._cell(cell);
  }

  _cell(cell) {
    replace(this.cell, drawCell(this.sheet, this.looks, cell));
  }

  _goTo(event) {
    event.preventDefault();
    const cell = this.sheet?.at(Number(this.rowInput.value), Number(this.columnInput.value)) ?? -1;
    if (cell >= 0) this.map.select(cell);
    else setText(this.said, "There is no such cell.");
  }
}
