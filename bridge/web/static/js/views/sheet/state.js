// A sheet while it fills in: its cells, every visit to them, the one that stands. Out of a run's items, or out of its result.

/** A whole sheet: {lot, sheet, web, pitch, cells, bins, limits}; cells have a place in all the arrays by one number. */
export class Sheet {
  constructor(header) {
    this.key = `${header.lot}/${header.sheet}`;
    this.lot = String(header.lot ?? "");
    this.sheet = String(header.sheet ?? "");
    this.web = String(header.web ?? "");
    this.row = header.cells.row;
    this.column = header.cells.column;
    this.count = this.row.length;
    this.pitch = header.pitch_m ?? null;
    this.up = upwards(header.cells);
    this.rows = Math.max(0, ...this.row) + 1;
    this.columns = Math.max(0, ...this.column) + 1;
    this._at = new Map(this.row.map((row, index) => [place(row, this.column[index]), index]));
    this.skipped = new Set((header.skipped ?? []).map(([row, column]) => this.at(row, column)));
    /** number of a record -> the record, and of a cell the number of the record that stands, -1 without one */
    this.records = [];
    this.standing = new Int32Array(this.count).fill(-1);
    this.quantities = new Set();
    this.describe(header);
  }

  /** Bins and limits, which come later where pilot cells make them. */
  describe(header) {
    this.bins = header.bin_table;
    this.untested = header.untested;
    this.limits = header.limits ?? {};
  }

  /** The cell at a place; -1 if there is none. */
  at(row, column) {
    return this._at.get(place(row, column)) ?? -1;
  }

  /** Records as the run shows them; one with a number that is known replaces it. */
  take(items) {
    for (const record of items) {
      this.records[record.record] = record;
      const cell = this.at(record.row, record.column);
      if (cell >= 0 && record.record >= this.standing[cell]) this.standing[cell] = record.record;
      for (const name of Object.keys(record.values ?? {})) this.quantities.add(name);
    }
  }

  record(cell) {
    const number = this.standing[cell];
    return number < 0 ? null : this.records[number];
  }

  soft(cell) {
    return this.record(cell)?.soft ?? this.untested;
  }

  /** Measured, and not yet judged: the limits are still to come. */
  waits(cell) {
    const record = this.record(cell);
    return record !== null && !record.error && record.soft === this.untested;
  }

  value(cell, quantity) {
    const value = this.record(cell)?.values?.[quantity];
    return typeof value === "number" ? value : null;
  }

  /** All visits to a cell, the first one first. */
  history(cell) {
    const found = [];
    for (let number = this.standing[cell]; number !== null && number >= 0; number = this.records[number]?.supersedes ?? null) {
      if (!this.records[number]) break; // not here yet
      found.unshift(this.records[number]);
    }
    return found;
  }

  /** {bySoft: Map, waiting, measured, passed, judged}: the yield is of cells that a bin says something about. */
  counts() {
    const bySoft = new Map(this.bins.map((bin) => [bin.soft, 0]));
    const said = new Map(this.bins.map((bin) => [bin.soft, bin]));
    let [waiting, measured, passed, judged] = [0, 0, 0, 0];
    for (let cell = 0; cell < this.count; cell++) {
      if (this.standing[cell] >= 0) measured++;
      if (this.waits(cell)) {
        waiting++;
        continue;
      }
      const soft = this.soft(cell);
      bySoft.set(soft, (bySoft.get(soft) ?? 0) + 1);
      const bin = said.get(soft);
      if (!bin || bin.retest || soft === this.untested) continue;
      judged++;
      if (bin.pass) passed++;
    }
    return { bySoft, waiting, measured, passed, judged };
  }

  /** Sorted. */
  _values(quantity, counts) {
    const values = [];
    for (let cell = 0; cell < this.count; cell++) {
      const value = counts(cell) ? this.value(cell, quantity) : null;
      if (value !== null) values.push(value);
    }
    return values.sort((a, b) => a - b);
  }

  hasLimits(quantity) {
    const { low, high } = this.limits[quantity] ?? {};
    return typeof low === "number" && typeof high === "number" && high > low;
  }

  /** [low, high, words] that colours span: by "limits", where a quantity has both; else what all but the outermost 2 %
   * of the passing cells have, or of all while none has passed. */
  spanOf(quantity, by = "limits") {
    const { low, high } = this.limits[quantity] ?? {};
    if (by === "limits" && this.hasLimits(quantity)) return [low, high, "the limits"];
    const passing = new Set(this.bins.filter((bin) => bin.pass).map((bin) => bin.soft));
    const good = this._values(quantity, (cell) => passing.has(this.soft(cell)));
    const values = good.length ? good : this._values(quantity, () => true);
    if (!values.length) return null;
    const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
    return [at(0.02), at(0.98), `the 2nd to the 98th percentile of ${good.length ? "the cells that pass" : "all cells"}`];
  }
}

/** A sheet out of the result of a run, with all of its records. */
export function sheetOfResult(r) {
  const untested = r.bin_table.at(-1).soft;
  const sheet = new Sheet({ ...r, untested, limits: r.limits?.limits ?? {} });
  const { values = {}, ...columns } = r.records;
  const names = Object.keys(values);
  const items = (columns.row ?? []).map((_, record) => {
    const item = { record, values: {} };
    for (const name of Object.keys(columns)) item[name] = columns[name][record];
    for (const name of names) if (values[name][record] !== null) item.values[name] = values[name][record];
    return item;
  });
  sheet.take(items);
  return sheet;
}

export function cellName(row, column) {
  return `r${row}c${column}`;
}

/** Whether rows go up in the picture, as y does. */
function upwards({ row, y_m: y }) {
  let [low, high] = [0, 0];
  for (let index = 1; index < row.length; index++) {
    if (row[index] < row[low]) low = index;
    if (row[index] > row[high]) high = index;
  }
  return row.length < 2 || !y || y[high] >= y[low];
}

function place(row, column) {
  return row * 65536 + column;
}
