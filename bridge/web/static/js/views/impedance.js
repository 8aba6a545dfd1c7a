// Impedance: a spectrum as its points arrive, and what its result says of it.

import { h, replace } from "../dom.js";
import { Items } from "../items.js";
import { Chooser, sayRun } from "./choosing.js";
import { ImpedanceReport } from "./impedance/report.js";
import { TechniquePoints } from "./impedance/technique.js";

const NOTHING = "No spectrum has been measured yet.";

function measuresImpedance({ procedure, parameters }) {
  return procedure === "impedance" || procedure === "open-lead" || (procedure === "technique" && parameters?.technique === "impedance");
}

export const impedance = {
  id: "impedance",
  title: "Impedance",
  mount(root, context) {
    new Impedance(root, context);
  },
};

class Impedance {
  constructor(root, context) {
    const { lab, watch } = context;
    this._context = context;
    this._lab = lab;
    this._chooser = new Chooser(measuresImpedance, context, impedance.id);
    this._report = new ImpedanceReport();
    this._place = h("div", { class: "stack" });
    this._run = "";
    this._points = [];
    this._header = {};
    this._shown = null;
    root.append(h("div", { class: "title" }, h("h1", {}, "Impedance"), h("span", { class: "spread" }), this._chooser.element), this._place);
    watch(lab, ["runs", "status"], () => this._draw());
  }

  _draw() {
    this._chooser.draw();
    const name = this._chooser.chosen;
    if (name && name !== this._run) this._attend(name);
    const result = this._lab.results.get(name)?.result;
    if (result?.frequency_hz?.length) {
      if (this._shown !== result) this._put((this._shown = result), (r) => this._report.showResult(r));
      return;
    }
    if (this._points.length) {
      const going = this._lab.runs.get(name)?.status === "running";
      const key = `${this._points.length} ${going}`;
      if (this._shown !== key) this._put((this._shown = key), () => this._report.showPoints(this._points, { ...this._header, going }));
      return;
    }
    this._shown = null;
    const reason = result?.reason ? `${String(result.verdict).toUpperCase()}: ${result.reason}` : "";
    replace(this._place, h("p", { class: "empty" }, reason || sayRun(this._lab.runs.get(name), NOTHING)));
  }

  _put(what, show) {
    if (!this._report.element.isConnected) replace(this._place, this._report.element);
    show(what);
  }

  /** The points of a procedure are its items; those of a bare technique are columns of its samples. */
  _attend(name) {
    this._run = name;
    [this._points, this._header, this._shown] = [[], {}, null];
    const run = this._lab.runs.get(name);
    if (run?.procedure !== "technique") {
      const take = (header, items) => {
        if (name !== this._run) return;
        if (header) this._header = header;
        this._points = [...this._points, ...items];
        this._draw();
      };
      new Items(this._lab, name, take, this._context.signal);
      return;
    }
    const changed = () => {
      if (name !== this._run) return;
      this._points = technique.points;
      this._draw();
    };
    const technique = new TechniquePoints(this._lab, name, run.devices.potentiostat, changed, this._context.signal);
    this._header = { step: "spectrum", points: run.parameters?.points };
  }
}
