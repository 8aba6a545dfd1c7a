// Voltage, current and charge of a potentiostat in figures that can be read across a room, and whether they are new.

import { certain } from "../format.js";
import { h, setClass, setText } from "../dom.js";
import { duration } from "../format.js";
import { flagWords } from "../samples.js";

const NUMBERS = [
  { column: "voltage_v", label: "Voltage", unit: "V", colour: "voltage" },
  { column: "current_a", label: "Current", unit: "A", colour: "current" },
  { column: "charge_ah", label: "Charge", unit: "A*h", colour: "charge" },
];
/** Samples that are this late, or five intervals, are said to be. */
const LATE_S = 3;

export class BigNumbers {
  constructor(root) {
    this._boxes = NUMBERS.map(({ label, colour }) => {
      const number = h("span", { class: "big-number number" });
      const unit = h("span", { class: "big-unit" });
      const element = h("div", { class: `big ${colour}` }, h("div", { class: "big-label" }, label), h("div", { class: "big-value" }, number, " ", unit));
      return { element, number, unit };
    });
    this._note = h("p", { class: "numbers-note small", role: "status" });
    this.element = h("div", { class: "numbers" }, this._boxes.map(({ element }) => element));
    root.append(this.element, this._note);
  }

  /** `series` as `follow` gives it, `why` the values may be old although samples come, "" if they are not. */
  draw(series, why) {
    const { ring } = series;
    const late = this._late(series, why);
    NUMBERS.forEach(({ column, unit }, place) => {
      const value = ring.length ? ring.value(column, ring.next - 1) : NaN;
      const scatter = column === "charge_ah" ? 0 : series.scatter(column);
      const { number, unit: said } = certain(value, scatter, unit);
      setText(this._boxes[place].number, number);
      setText(this._boxes[place].unit, said);
      setClass(this._boxes[place].element, "stale", late);
    });
    setText(this._note, late || this._remarks(series));
  }

  _late(series, why) {
    if (why) return why;
    if (!series.heardAt) return "No sample has come yet.";
    const age = (performance.now() - series.heardAt) / 1000;
    const patience = Math.max(LATE_S, 5 * (series.attributes.interval_s ?? 0));
    return age > patience ? `No sample for ${duration(Math.round(age))}: these are the last ones.` : "";
  }

  _remarks(series) {
    const flags = flagWords(series.flags);
    const part = series.complete ? "" : "Charge without what has not come of this run yet.";
    return [flags.length ? `The instrument says: ${flags.join(", ")}.` : "", part].filter(Boolean).join(" ");
  }
}
