// What a timeline shows of samples that are not here: the daemon's own picture of any range, by its method `history`.
// However long a run was, what comes is a few thousand points.

import { COLUMNS } from "./series.js";

const POINTS = 2000;
/** Pictures kept: what was looked at last, so that going back is at once. */
const KEPT = 12;

export class PastSource {
  /** Samples `first` up to but without `next` of a stream of `lab`. `changed` is called when something has come. */
  constructor(lab, { stream, first_index: first, next_index: next }, changed = () => {}) {
    this.lab = lab;
    this.stream = stream;
    this.first = first;
    this.next = next;
    this.error = null;
    this._changed = changed;
    this._kept = new Map();
    /** The whole of it: also tells which index belongs to which time. */
    this.whole = null;
    this.ready = this._fetch(first, next).then((curve) => (this.whole = curve), (error) => (this.error = error)).then(changed);
  }

  get origin() {
    return this.whole?.time[0] ?? 0;
  }

  extent() {
    return this.whole?.time.length ? [this.whole.time[0], this.whole.time.at(-1)] : null;
  }

  /** Charge up to the last sample, in ampere-hours. */
  get charge() {
    return this.whole?.columns.charge_ah.at(-1) ?? 0;
  }

  async picture(from, to) {
    await this.ready;
    if (!this.whole) return { time: [], columns: { voltage_v: [], current_a: [], charge_ah: [] } };
    const { time, index, end } = this.whole;
    if (from <= time[0] && to >= time.at(-1)) return this.whole;
    const begin = Math.max(0, time.findLastIndex((at) => at <= from));
    const after = time.findIndex((at) => at > to);
    const finish = after < 0 ? this.next : end[after];
    // a range that the whole shows sample by sample needs no asking
    return this.whole.exact ? this.whole : this._fetch(index[begin], finish);
  }

  _fetch(first, next) {
    const key = `${first} ${next}`;
    if (!this._kept.has(key)) {
      const asked = history(this.lab, this.stream, first, next, this.first);
      asked.catch(() => this._kept.delete(key));
      this._kept.set(key, asked);
      if (this._kept.size > KEPT) this._kept.delete(this._kept.keys().next().value);
    }
    return this._kept.get(key);
  }
}

/** {time, columns, index, end, exact}: two points a bucket, its least and its greatest; null where samples are missing. */
async function history(lab, stream, first, next, chargeFrom) {
  const params = { stream, first_index: first, next_index: next, points: POINTS, columns: COLUMNS, charge_from: chargeFrom };
  const answer = await lab.ask("history", params, { patience: 30 });
  const { buckets } = answer;
  const curve = { time: [], index: [], end: [], exact: answer.width <= 1, columns: { voltage_v: [], current_a: [], charge_ah: [] } };
  const start = answer.start_time_ns / 1e9;
  const add = (place, at, which) => {
    curve.time.push(at);
    curve.index.push(buckets.index[place]);
    curve.end.push(buckets.index[place] + buckets.n[place]);
    for (const name of COLUMNS) curve.columns[name].push(which ? (buckets.columns[name]?.[which][place] ?? null) : null);
    curve.columns.charge_ah.push(which ? (buckets.charge_c?.[place] ?? NaN) / 3600 : null);
  };
  const pause = pauseOf(buckets);
  let expected = first;
  let before = start + (buckets.t_s[0] ?? 0);
  for (const [place, index] of buckets.index.entries()) {
    const at = start + buckets.t_s[place];
    if (curve.time.length && (index > expected || at - before > pause)) add(place, at, "");
    expected = index + buckets.n[place];
    before = at;
    add(place, at, "min");
    if (buckets.n[place] > 1) add(place, at, "max");
  }
  return curve;
}

/** Longer than this between two buckets, and nothing was measured in between: the cell was off, between two techniques. */
function pauseOf({ t_s: times, n }) {
  const steps = times.slice(1).map((time, place) => (time - times[place]) / n[place]).sort((a, b) => a - b);
  return 20 * Math.max(...n, 1) * (steps[Math.floor(steps.length / 2)] ?? Infinity);
}
