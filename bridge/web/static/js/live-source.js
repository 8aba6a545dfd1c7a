// What a timeline shows of a run under way: the newest samples, which are here, and before them what the daemon keeps.

import { picture } from "./decimate.js";
import { PastSource } from "./past-source.js";

/** So much of the ring may be between the past that was asked for and the oldest sample here. */
const GAP_SHARE = 0.05;

export class LiveSource {
  /** `changed` is called when something of the past has come. */
  constructor(lab, series, changed) {
    this.lab = lab;
    this.series = series;
    this._changed = changed;
    this._past = null;
  }

  get origin() {
    return this._earlier()?.whole ? this._past.origin : this.series.ring.value("time", this._first);
  }

  extent() {
    const { ring } = this.series;
    if (ring.next <= this._first) return null;
    return [this.origin, ring.value("time", ring.next - 1)];
  }

  picture(from, to, bins, names) {
    const here = picture(this.series.ring, names, from, to, bins, this.series.ends);
    const past = this._earlier();
    const begin = this.series.ring.value("time", this._first);
    if (!past?.whole || from >= begin) return from >= begin ? here : this._since(here, begin);
    return past.picture(from, Math.min(to, begin)).then((before) => joined(before, this._since(here, begin), names, begin));
  }

  /** The index of the first sample of the run that is here. */
  get _first() {
    return Math.max(this.series.ring.first, this.series.runStart);
  }

  /** What of the run is not here, if anything. */
  _earlier() {
    const { series } = this;
    const first = this._first;
    if (first <= series.runStart || !series.stream) return null;
    const allowed = first + GAP_SHARE * series.ring.length;
    if (!this._past || this._past.stream !== series.stream || this._past.first !== series.runStart || this._past.next + allowed < 2 * first) {
      const before = this._past;
      const range = { stream: series.stream, first_index: series.runStart, next_index: first };
      this._past = new PastSource(this.lab, range, () => {
        series.chargeBefore(range.next_index, this._past.charge);
        this._changed();
      });
      if (before?.first === series.runStart) this._past.whole = before.whole;
    }
    return this._past;
  }

  _since({ time, columns }, begin) {
    const from = Math.max(0, time.findIndex((at) => at >= begin));
    return { time: time.slice(from), columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, data.slice(from)])) };
  }
}

function joined(before, after, names, begin) {
  const until = before.time.findIndex((at) => at >= begin);
  const cut = (data) => (until < 0 ? data : data.slice(0, until));
  return {
    time: cut(before.time).concat(after.time),
    columns: Object.fromEntries(names.map((name) => [name, cut(before.columns[name]).concat(after.columns[name])])),
  };
}
