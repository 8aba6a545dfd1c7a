// The sheet: its map filling in while it is measured, and the maps of earlier runs.

import { h, replace } from "../dom.js";
import { Items } from "../items.js";
import { Chooser, sayRun } from "./choosing.js";
import { SheetReport } from "./sheet/report.js";
import { Sheet, sheetOfResult } from "./sheet/state.js";

const NOTHING = "No sheet has been mapped yet. docs/sheet.md says how one is described.";

export const sheet = {
  id: "sheet",
  title: "Sheet",
  mount(root, context) {
    new SheetView(root, context);
  },
};

class SheetView {
  constructor(root, context) {
    const { lab, watch } = context;
    this._context = context;
    this._lab = lab;
    this._chooser = new Chooser((run) => run.procedure === "sheet-map", context, sheet.id);
    this._report = new SheetReport();
    this._place = h("div", { class: "stack" });
    this._run = "";
    this._sheet = null;
    this._result = null;
    root.append(h("div", { class: "title" }, h("h1", {}, "Sheet"), h("span", { class: "spread" }), this._chooser.element), this._place);
    watch(lab, ["runs", "status"], () => this._draw());
  }

  _draw() {
    this._chooser.draw();
    const name = this._chooser.chosen;
    if (name && name !== this._run) this._attend(name);
    const result = this._lab.results.get(name)?.result;
    if (result?.cells && this._result !== result) [this._result, this._sheet] = [result, sheetOfResult(result)];
    if (!this._sheet) return replace(this._place, h("p", { class: "empty" }, sayRun(this._lab.runs.get(name), NOTHING)));
    if (!this._report.element.isConnected) replace(this._place, this._report.element);
    const state = this._lab.runs.get(name);
    if (this._result) this._report.show(this._sheet, { yields: this._result, stop: this._result.stop });
    else this._report.show(this._sheet, { values: state?.values ?? {}, stop: state?.values?.stopped ?? null });
  }

  _attend(name) {
    this._run = name;
    [this._sheet, this._result] = [null, null];
    const take = (header, items) => {
      if (name !== this._run || this._result) return;
      if (header && this._sheet) this._sheet.describe(header);
      else if (header) this._sheet = new Sheet(header);
      this._sheet?.take(items);
      this._draw();
    };
    new Items(this._lab, name, take, this._context.signal);
  }
}
