// The newest samples of a stream, by their index, in memory that does not grow beyond its capacity; with the least and
// the greatest of each 32 and 1024 samples beside them, so that a picture of a million costs no more than one of a thousand.

const FAN = 32;
const LEVELS = 2;
const SMALLEST = 4096;

export class Ring {
  /** `capacity` is a power of two of at least 4096: samples that are kept. `time` is a column too, and never falls. */
  constructor(names, capacity = 2 ** 20) {
    this.names = ["time", ...names];
    this.limit = capacity;
    this.clear(0);
  }

  /** Empty; the next sample has this index. */
  clear(index) {
    this.first = this.next = index;
    this.size = SMALLEST;
    this._columns = new Map(this.names.map((name) => [name, newColumn(this.size)]));
  }

  get length() {
    return this.next - this.first;
  }

  /** Samples from `index` on, which is `next` or beyond; what lies between is missing. Columns may be left out (NaN). */
  append(index, columns, length) {
    if (index - this.next >= this.limit) this.clear(index);
    this._reserve(Math.min(index + length - this.first, this.limit));
    if (index > this.next) this._lose(index, columns.time[0] ?? this.value("time", this.next - 1));
    const from = this.next;
    this._write(index, columns, length);
    this.next = index + length;
    this.first = Math.max(this.first, this.next - this.size);
    this._summarise(Math.max(from, this.first), this.next);
  }

  /** Samples that were missing. What is older than the oldest is passed over. */
  fill(index, columns, length) {
    const skip = Math.max(0, this.first - index);
    const count = Math.min(index + length, this.next) - index - skip;
    if (count <= 0) return;
    const cut = Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, data.subarray(skip, skip + count)]));
    this._write(index + skip, cut, count);
    this._summarise(index + skip, index + skip + count);
  }

  value(name, index) {
    return index < this.first || index >= this.next ? NaN : this._columns.get(name).levels[0][index % this.size];
  }

  set(name, index, value) {
    this._columns.get(name).levels[0][index % this.size] = value;
  }

  /** What was written by `set` from this index on counts in `extrema`. */
  summarise(name, from) {
    summarise(this._columns.get(name), Math.max(from, this.first), this.next, this.size, this.first, this.next);
  }

  /** The first index whose time is at least `time`; `next` if there is none. */
  at(time) {
    const times = this._columns.get("time").levels[0];
    let [low, high] = [this.first, this.next];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (times[middle % this.size] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** [least, greatest] of the samples from `from` up to but without `to`; [Infinity, -Infinity] if there are none. */
  extrema(name, from, to) {
    const column = this._columns.get(name);
    const found = [Infinity, -Infinity];
    let index = Math.max(from, this.first);
    const end = Math.min(to, this.next);
    while (index < end) {
      let level = 0;
      let step = 1;
      while (level < LEVELS && index % (step * FAN) === 0 && index + step * FAN <= end) {
        level++;
        step *= FAN;
      }
      const place = Math.floor(index / step) % (this.size / step);
      const low = level ? column.least[level][place] : column.levels[0][place];
      const high = level ? column.greatest[level][place] : low;
      if (low < found[0]) found[0] = low;
      if (high > found[1]) found[1] = high;
      index += step;
    }
    return found;
  }

  _reserve(length) {
    let size = this.size;
    while (size < length && size < this.limit) size *= 2;
    if (size === this.size) return;
    const [old, oldSize] = [this._columns, this.size];
    this._columns = new Map(this.names.map((name) => [name, newColumn(size)]));
    this.size = size;
    for (const [name, column] of this._columns) {
      const [from, to] = [old.get(name).levels[0], column.levels[0]];
      for (let index = this.first; index < this.next; index++) to[index % size] = from[index % oldSize];
      summarise(column, this.first, this.next, size, this.first, this.next);
    }
  }

  /** Samples up to `index` did not come: their values are not known, and their times were before `time`. */
  _lose(index, time) {
    for (const [name, column] of this._columns) {
      for (let lost = Math.max(this.next, index - this.size); lost < index; lost++) {
        column.levels[0][lost % this.size] = name === "time" ? time : NaN;
      }
    }
  }

  _write(index, columns, length) {
    const skip = Math.max(0, length - this.size);
    for (const [name, column] of this._columns) {
      const data = columns[name];
      const to = column.levels[0];
      const place = (index + skip) % this.size;
      const until = Math.min(length - skip, this.size - place);
      if (!data) {
        to.fill(NaN, place, place + until);
        to.fill(NaN, 0, length - skip - until);
      } else {
        to.set(data.subarray(skip, skip + until), place);
        to.set(data.subarray(skip + until, length), 0);
      }
    }
  }

  _summarise(from, to) {
    for (const [name, column] of this._columns) {
      if (name !== "time") summarise(column, from, to, this.size, this.first, this.next);
    }
  }
}

function newColumn(size) {
  const column = { levels: [new Float64Array(size)], least: [null], greatest: [null] };
  for (let level = 1, step = FAN; level <= LEVELS; level++, step *= FAN) {
    column.least.push(new Float64Array(size / step));
    column.greatest.push(new Float64Array(size / step));
  }
  return column;
}

/** Least and greatest of the groups that samples from `from` to `to` belong to; of `first` to `next`, the others are old. */
function summarise(column, from, to, size, first, next) {
  for (let level = 1, step = FAN; level <= LEVELS; level++, step *= FAN) {
    const [lows, highs] = level === 1 ? [column.levels[0], column.levels[0]] : [column.least[level - 1], column.greatest[level - 1]];
    const below = step / FAN;
    for (let group = Math.floor(from / step); group * step < to; group++) {
      let [low, high] = [Infinity, -Infinity];
      const end = Math.min((group + 1) * step, next);
      for (let index = Math.max(group * step, Math.floor(first / below) * below); index < end; index += below) {
        const place = Math.floor(index / below) % (size / below);
        if (lows[place] < low) low = lows[place];
        if (highs[place] > high) high = highs[place];
      }
      const place = group % (size / step);
      column.least[level][place] = low;
      column.greatest[level][place] = high;
    }
  }
}
