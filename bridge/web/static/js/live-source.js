// What a timeline shows of a run under way: the ring of the newest samples, and what the daemon keeps of those before.

import { picture } from "./decimate.js";

export class LiveSource {
  constructor(series) {
    this.series = series;
  }

  get origin() {
    return this.series.ring.value("time", this._first);
  }

  extent() {
    const { ring } = this.series;
    return ring.next > this._first ? [ring.value("time", this._first), ring.value("time", ring.next - 1)] : null;
  }

  picture(from, to, bins, names) {
    return picture(this.series.ring, names, from, to, bins);
  }

  get _first() {
    return Math.max(this.series.ring.first, this.series.runStart);
  }
}
