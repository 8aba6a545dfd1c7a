// Voltage, current and charge against time, one above the other: live, or as far back as the samples go. What is drawn has
// the least and the greatest of each pixel, so a peak of one sample stays, and costs the same for a thousand or a million.

import { Chart } from "./chart.js";
import { h, setText } from "./dom.js";
import { duration } from "./format.js";
import { nextFrame } from "./frame.js";

const PANELS = [
  { column: "voltage_v", label: "Voltage", unit: "V", colour: "voltage" },
  { column: "current_a", label: "Current", unit: "A", colour: "current" },
  { column: "charge_ah", label: "Charge", unit: "A*h", colour: "charge" },
];
const SPANS = [["All", Infinity], ["10 min", 600], ["1 min", 60]];
let count = 0;

export class Timeline {
  /**
   * `source` has `extent()`, the first and the last time in seconds (null: nothing yet), `origin` from which time is
   * counted, and `picture(from, to, bins)`, which gives {time, columns} at once or as a promise. `live` sources grow.
   */
  constructor(host, { source, signal, live = false, height = 190, panels = PANELS }) {
    this.source = source;
    this.live = live;
    /** [from, to] that the reader has chosen, or null: the newest `span` seconds. */
    this.chosen = null;
    this.span = Infinity;
    this.drawn = 0;
    this._signal = signal;
    this._buttons = SPANS.map(([label, span]) => h("button", { type: "button", onclick: () => this.see(span) }, label));
    this._back = h("button", { type: "button", class: "button small", hidden: true, onclick: () => this.see(this.span) }, live ? "Back to live" : "Show all");
    this._span = h("span", { class: "span number" });
    const plots = h("div", { class: "stack" });
    this.element = h("div", { class: "timeline", tabindex: "0", role: "group", "aria-label": "Charts. Arrows move, plus and minus zoom, Home shows all." },
      h("div", { class: "tools" }, live && h("div", { class: "segments", role: "group", "aria-label": "How much is shown" }, this._buttons), this._back, this._span), plots);
    this.element.timeline = this;
    host.append(this.element);
    const sync = `timeline-${++count}`;
    this.charts = panels.map(({ column, label, unit, colour }) => Object.assign(
      new Chart(plots, { label, unit, signal, sync, height, series: [{ label, colour }], zoomed: (from, to) => this.look(from, to) }), { column }));
    this.element.addEventListener("keydown", (event) => this._key(event));
    for (const chart of this.charts) this._touch(chart);
    this.see(Infinity);
  }

  /** The newest so many seconds, or all. */
  see(span) {
    this.span = span;
    this.chosen = null;
    this._buttons.forEach((button, place) => button.setAttribute("aria-pressed", SPANS[place][1] === span));
    this.draw();
  }

  /** From here to there, in seconds since the origin. */
  look(from, to) {
    const extent = this.source.extent();
    if (!extent || !(to > from)) return;
    const [first, last] = extent.map((time) => time - this.source.origin);
    const width = Math.min(Math.max(to - from, 1e-4), last - first || 1);
    const begin = Math.min(Math.max(from, first), last - width);
    this.chosen = [begin, begin + width];
    this._buttons.forEach((button) => button.setAttribute("aria-pressed", "false"));
    this.draw();
  }

  /** What is seen, in seconds since the origin; null when there is nothing. */
  get range() {
    const extent = this.source.extent();
    if (!extent) return null;
    const [first, last] = extent.map((time) => time - this.source.origin);
    if (this.chosen) return this.chosen;
    const from = Number.isFinite(this.span) ? Math.max(first, last - this.span) : first;
    return [from, last > from ? last : from + 1];
  }

  draw() {
    nextFrame((this._draw ??= () => this._paint()));
  }

  async _paint() {
    const range = this.range;
    this._back.hidden = !this.chosen;
    if (!range || this._signal.aborted) return;
    const turn = (this._turn = (this._turn ?? 0) + 1);
    const { origin } = this.source;
    const names = this.charts.map((chart) => chart.column);
    const found = this.source.picture(origin + range[0], origin + range[1], this.charts[0].bins, names);
    const { time, columns } = found instanceof Promise ? await found : found;
    if (turn !== this._turn || this._signal.aborted) return;
    const x = time.map((at) => at - origin);
    for (const chart of this.charts) chart.set(x, [columns[chart.column]], range);
    setText(this._span, `${duration(round(range[1] - range[0]))} shown`);
    this.drawn++;
  }

  _key(event) {
    const range = this.range;
    if (!range || event.target !== this.element) return;
    const [from, to] = range;
    const width = to - from;
    const moves = {
      ArrowLeft: [from - width / 4, to - width / 4], ArrowRight: [from + width / 4, to + width / 4],
      "+": [from + width / 4, to - width / 4], "=": [from + width / 4, to - width / 4], "-": [from - width / 2, to + width / 2],
    };
    if (event.key === "Home") this.see(Infinity);
    else if (moves[event.key]) this.look(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  /** One finger moves, two zoom. */
  _touch(chart) {
    const over = chart.plot.over;
    const fingers = new Map();
    let start = null;
    const begin = () => (start = { fingers: [...fingers.values()].map(({ clientX }) => clientX), range: this.range, width: over.clientWidth });
    over.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") fingers.set(event.pointerId, event), begin();
    });
    over.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId) || !start?.range) return;
      fingers.set(event.pointerId, event);
      this._follow(start, [...fingers.values()].map(({ clientX }) => clientX));
    });
    for (const type of ["pointerup", "pointercancel"]) {
      over.addEventListener(type, (event) => fingers.delete(event.pointerId) && begin());
    }
  }

  _follow({ fingers, range: [from, to], width }, now) {
    const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;
    const spread = (values) => (values.length < 2 ? 1 : Math.max(1, Math.abs(values[0] - values[1])));
    if (Math.abs(mean(now) - mean(fingers)) < 4 && Math.abs(spread(now) - spread(fingers)) < 4) return;
    const scale = spread(fingers) / spread(now);
    const left = this.charts[0].plot.over.getBoundingClientRect().left;
    const held = from + ((mean(fingers) - left) / width) * (to - from);
    const begin = held - ((mean(now) - left) / width) * (to - from) * scale;
    this.look(begin, begin + (to - from) * scale);
  }
}

function round(seconds) {
  return seconds >= 10 ? Math.round(seconds) : seconds;
}
