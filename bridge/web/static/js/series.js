// What one potentiostat has measured, in step with its stream: nothing twice, what is missing is asked for again, the
// charge of the run under way added up from its samples.

import { Ring } from "./ring.js";

export const COLUMNS = ["voltage_v", "current_a"];
/** So many missing samples are brought back one by one; of more, the newest. Pictures of the rest come from `history`. */
export const REFILL = 100_000;

export class Series {
  /**
   * `refill(stream, first, next)` asks for samples once more; they come by `take`. `changed()` is called after each block.
   * `startOf(run)` is the index of a run's first sample, undefined if it is not known.
   */
  constructor(refill, changed, startOf = () => undefined, capacity = undefined) {
    this.ring = new Ring([...COLUMNS, "charge_ah"], capacity);
    this.stream = "";
    /** The run that the newest sample belongs to, and the index of its first. */
    this.run = "";
    this.runStart = 0;
    this.attributes = {};
    /** Called with each block that was new. */
    this.listeners = new Set();
    /** When the newest block was heard, by `performance.now()`; 0 before the first. */
    this.heardAt = 0;
    /** What the instrument said of the newest sample (drivers.samples.Flag). */
    this.flags = 0;
    /** Ranges [first, next) of the ring that have not come. */
    this.missing = [];
    /** The charge is added up from this index on: the run's first, unless the page came too late for that. */
    this._counted = 0;
    /** Indices up to which a technique went: until the next one began nothing was measured. */
    this.ends = new Set();
    this._base = null;
    this._refill = refill;
    this._changed = changed;
    this._startOf = startOf;
  }

  /** The run under way began here: what of it was before the page was opened counts as missing. */
  expect(stream, run, first) {
    if (this.stream === stream && this.run === run) return;
    if (this.stream !== stream) this._begin(stream, first);
    this._beginRun(run, first);
  }

  /** A block, new or of the past. */
  take(block) {
    if (block.stream !== this.stream) {
      if (block.replayed) return;
      this._begin(block.stream, block.firstIndex);
    }
    if (block.end !== null) this.ends.add(block.nextIndex);
    if (block.nextIndex <= this.ring.next) this._fill(block);
    else this._append(block);
    this._changed();
  }

  /** The stream goes up to `next` by now: what has not come is asked for, without waiting for a block that shows the gap. */
  catchUp(stream, next) {
    if (stream !== this.stream || next <= this.ring.next) return;
    const from = this._within(this.ring.next, next);
    this._refill(stream, from, next);
  }

  /** Whether all samples of the run under way are here. */
  get complete() {
    return this._counted <= this.runStart && !this.missing.some(([, next]) => next > this.runStart);
  }

  /** Standard deviation of the newest values of a column about their mean; NaN if there are too few. */
  scatter(name, count = 40) {
    const from = Math.max(this.ring.first, this.runStart, this.ring.next - count);
    const values = [];
    for (let index = from; index < this.ring.next; index++) {
      const value = this.ring.value(name, index);
      if (Number.isFinite(value)) values.push(value);
    }
    if (values.length < 8) return NaN;
    // by the differences of neighbours, so that a slope is no scatter
    let sum = 0;
    for (let place = 1; place < values.length; place++) sum += (values[place] - values[place - 1]) ** 2;
    return Math.sqrt(sum / (2 * (values.length - 1)));
  }

  _begin(stream, index) {
    this.stream = stream;
    this._beginRun("", index);
    this.ring.clear(index);
    this.missing = [];
    this.ends.clear();
  }

  _beginRun(run, index) {
    this.run = run;
    this.runStart = this._counted = index;
    this._base = null;
  }

  _append(block) {
    const skip = Math.max(0, this.ring.next - block.firstIndex);
    const index = block.firstIndex + skip;
    const length = block.nextIndex - index;
    if (index > this.ring.next) this._ask(this.ring.next, index);
    const run = block.attributes.run ?? "";
    if (run !== this.run) this._beginRun(run, Math.min(this._startOf(run) ?? index, index));
    this.attributes = block.attributes;
    if (!block.replayed) this.heardAt = performance.now();
    this.flags = block.columns.get("flags")?.data.at(-1) ?? 0;
    this.ring.append(index, columnsOf(block, skip, this.ring.value("time", this.ring.next - 1)), length);
    this.missing = this.missing.filter(([, next]) => next > this.ring.first);
    for (const end of this.ends) if (end < this.ring.first) this.ends.delete(end);
    this._addUp(index);
    for (const listener of this.listeners) listener(block);
  }

  _fill(block) {
    for (const [first, next] of [...this.missing]) {
      const from = Math.max(first, block.firstIndex);
      const to = Math.min(next, block.nextIndex);
      if (from >= to) continue;
      const skip = from - block.firstIndex;
      const columns = columnsOf(block, skip, this.ring.value("time", from - 1));
      this.ring.fill(from, cut(columns, to - from), to - from);
      this.missing = this.missing.flatMap((range) =>
        range[0] === first ? [[first, from], [to, next]].filter(([a, b]) => a < b) : [range],
      );
      if (to > this.runStart) this._addUp(Math.max(from, this.runStart));
    }
  }

  /** The charge of the run up to an index, the first that is here. */
  chargeBefore(index, charge) {
    if (index < this.ring.first || this._counted <= this.runStart) return;
    this._base = { index, charge };
    this._counted = this.runStart;
    this._addUp(index);
    this._changed();
  }

  _ask(first, next) {
    const from = this._within(first, next);
    this.missing.push([from, next]);
    this._refill(this.stream, from, next);
  }

  /** Where to begin to bring back what is missing: of too many the newest, and the daemon's own picture shows the others. */
  _within(first, next) {
    const from = Math.max(first, next - REFILL);
    if (from > first) {
      this.ring.clear(from);
      this.missing = [];
      this._counted = from;
      this._base = null;
    }
    return from;
  }

  /** The charge from an index on, by trapezia; between two techniques nothing flowed, what is missing counts as nothing. */
  _addUp(from) {
    const { ring } = this;
    let index = Math.max(from, ring.first);
    let charge = index > this.runStart ? ring.value("charge_ah", index - 1) || 0 : 0;
    if (index === this._base?.index) charge = this._base.charge;
    for (const start = index; index < ring.next; index++) {
      if (index > this.runStart && !this.ends.has(index)) {
        const step = ring.value("time", index) - ring.value("time", index - 1);
        const mean = (ring.value("current_a", index) + ring.value("current_a", index - 1)) / 2;
        const more = (step * mean) / 3600;
        if (Number.isFinite(more)) charge += more;
      }
      ring.set("charge_ah", index, charge);
      if (index === ring.next - 1) ring.summarise("charge_ah", start);
    }
  }
}

/** Columns of a block from `skip` on, for a `Ring`; time never falls below `earliest`, whatever a clock did. */
function columnsOf(block, skip, earliest) {
  const columns = {};
  for (const name of COLUMNS) {
    const data = block.columns.get(name)?.data;
    if (data) columns[name] = data.subarray(skip);
  }
  const time = block.time ? block.time.subarray(skip) : new Float64Array(block.nextIndex - block.firstIndex - skip);
  let latest = Number.isFinite(earliest) ? earliest : -Infinity;
  for (let place = 0; place < time.length; place++) {
    if (!(time[place] >= latest)) time[place] = latest;
    latest = time[place];
  }
  columns.time = time;
  return columns;
}

function cut(columns, length) {
  return Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, data.subarray(0, length)]));
}
