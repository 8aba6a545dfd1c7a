// A chart: uPlot in our colours, with units that fit, a readout under the pointer, and a size that follows its place.

import uPlot from "../vendor/uplot.js";
import { h, setText } from "./dom.js";
import { duration, parts, scaleOf, si } from "./format.js";
import { theme } from "./theme.js";

/** Steps of an axis of time in seconds: those that people count in. */
const TIME_STEPS = [
  ...[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1].flatMap((power) => [1, 2, 5].map((factor) => factor * power)),
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000,
];
const FONT = '13px "Inter", system-ui, sans-serif';

export class Chart {
  /**
   * Into `host`, until `signal` is aborted:
   * - `label`, `unit` of the y axis; `log` for a logarithmic one; `range(min, max)` for limits of its own
   * - `x`: {label, unit, log}; the unit "elapsed" is for seconds since some beginning
   * - `series`: [{label, colour, points, line}]: a colour of css/tokens.css, whether points and whether a line is drawn
   * - `height` in pixels, or `square` for one unit of x as long as one of y
   * - `readout(index)` may say what stands under the pointer; null: nothing
   * - `zoomed(from, to)` is told what the reader has drawn a frame around; without it the chart zooms by itself
   */
  constructor(host, options) {
    this.options = { x: { label: "", unit: "elapsed" }, series: [{ label: options.label, colour: "voltage" }], height: 180, ...options };
    this._unit = h("span", { class: "chart-unit muted" });
    this._readout = h("output", { class: "chart-readout number" });
    this._plot = h("div", { class: "chart-plot", role: "img", "aria-label": `Chart: ${options.label}` });
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("span", { class: "chart-label" }, options.label), " ", this._unit, this._legend(), this._readout), this._plot);
    this.element.chart = this;
    host.append(this.element);
    this.data = [[], ...this.options.series.map(() => [])];
    this.plot = new uPlot(this._describe(), this.data, this._plot);
    const observer = new ResizeObserver(() => this._fit());
    observer.observe(this._plot);
    const recolour = () => this.plot.redraw(false, true);
    theme.addEventListener("change", recolour);
    document.fonts?.ready.then(recolour);
    options.signal.addEventListener("abort", () => {
      observer.disconnect();
      theme.removeEventListener("change", recolour);
      this.plot.destroy();
    });
  }

  /** `x` and one array a series; null where there is a hole. `range` [from, to] of x, unless all is to be seen. */
  set(x, columns, range = null) {
    this.data = [x, ...columns];
    this.plot.batch(() => {
      this.plot.setData(this.data, false);
      const [from, to] = range ?? this._extent(x);
      this.plot.setScale("x", { min: from, max: to });
    });
  }

  /** Pixels that the data have, in the screen's own. */
  get bins() {
    return Math.max(100, Math.round((this.plot.bbox?.width ?? 600) / 1));
  }

  _extent(x) {
    const [first, last] = [x.find(Number.isFinite) ?? 0, x.findLast(Number.isFinite) ?? 1];
    if (this.options.x.log) return [first, last > first ? last : first * 10];
    const [low, high] = this._sorted(x, first, last);
    return [low, high > low ? high : low + 1];
  }

  _sorted(x, first, last) {
    if (this.options.x.unit === "elapsed") return [first, last];
    let [low, high] = [Infinity, -Infinity];
    for (const value of x) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? padded(low, high) : [first, last];
  }

  _legend() {
    const { series } = this.options;
    return series.length < 2 ? [] : series.map(({ label, colour }) => h("span", { class: "chart-key" }, h("i", { style: { background: `var(--${colour})` } }), label));
  }

  _describe() {
    const { x, unit, log, series, zoomed, height } = this.options;
    const grid = { stroke: () => theme.colour("line"), width: 1 };
    const axis = { stroke: () => theme.colour("muted"), font: FONT, grid, ticks: { show: false } };
    const elapsed = x.unit === "elapsed";
    return {
      width: this._plot.clientWidth || 600,
      height: this._height(this._plot.clientWidth || 600) || height,
      legend: { show: false },
      padding: [8, 12, 0, 0],
      cursor: {
        sync: this.options.sync ? { key: this.options.sync, setSeries: false } : undefined,
        drag: { x: true, y: false, setScale: !zoomed },
        points: { size: 8, width: 2 },
        y: false,
      },
      scales: {
        x: { time: false, distr: x.log ? 3 : 1, auto: false },
        y: { distr: log ? 3 : 1, range: log ? undefined : (plot, low, high) => (this.options.range ?? padded)(low, high) },
      },
      axes: [
        { ...axis, ...(elapsed ? { incrs: TIME_STEPS } : {}), space: 70, size: 34, values: (plot, splits) => (elapsed ? elapsedTicks(splits) : this._ticks(splits, x.unit, x.log)) },
        { ...axis, size: 62, gap: 8, space: 34, values: (plot, splits) => this._yTicks(splits, unit, log) },
      ],
      series: [{}, ...series.map((each) => this._series(each))],
      hooks: {
        setCursor: [(plot) => this._point(plot.cursor.idx)],
        setSelect: zoomed ? [(plot) => this._selected(plot, zoomed)] : [],
      },
    };
  }

  _series({ label, colour, points = false, line = true, dash }) {
    return {
      label,
      stroke: () => theme.colour(colour),
      width: line ? 1.75 : 0,
      paths: line ? undefined : () => null,
      dash,
      points: { show: points, size: 6, fill: () => theme.colour(colour) },
    };
  }

  _yTicks(splits, unit, log) {
    const scaled = this._ticks(splits, unit, log);
    const largest = Math.max(...splits.filter((each) => each !== null).map(Math.abs), 0);
    setText(this._unit, log ? scaleOf(1, unit)[1] : scaleOf(largest, unit)[1]);
    return scaled;
  }

  _ticks(splits, unit, log) {
    if (log) return splits.map((value) => (value === null ? "" : parts(value, "", 1).number + parts(value, "", 1).unit));
    const [factor] = scaleOf(Math.max(...splits.map(Math.abs)), unit);
    const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) * factor : 1;
    const decimals = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const exact = Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) < 1e-6 ? decimals : decimals + 1;
    return splits.map((value) => (value * factor).toFixed(exact).replace("-", "−").replace(/^−(0(?:\.0+)?)$/, "$1"));
  }

  _selected(plot, zoomed) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const range = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    zoomed(...range);
  }

  _point(index) {
    const { readout, x, unit, series } = this.options;
    if (index === null || index === undefined) {
      setText(this._readout, "");
      return;
    }
    if (readout) {
      setText(this._readout, readout(index) ?? "");
      return;
    }
    const values = series.map((_, place) => this.data[place + 1][index]).filter((value) => value !== null && value !== undefined);
    const at = this.data[0][index];
    const where = x.unit === "elapsed" ? duration(at) : si(at, x.unit, 4);
    setText(this._readout, values.length ? `${values.map((value) => si(value, unit, 4)).join(", ")} at ${where}` : "");
  }

  _height(width) {
    return this.options.square ? Math.min(width, this.options.height ?? width) : this.options.height;
  }

  _fit() {
    const width = this._plot.clientWidth;
    if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this._height(width) });
  }
}

/** Limits with some air; where all values are the same, air around it. */
export function padded(low, high) {
  if (low === null || low === undefined || !Number.isFinite(low)) return [0, 1];
  const air = high > low ? (high - low) * 0.08 : Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

/** Ticks of seconds that have gone by, in the unit that fits all of them. */
function elapsedTicks(splits) {
  const last = Math.max(...splits.map(Math.abs));
  const step = splits.length > 1 ? splits[1] - splits[0] : last;
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([each]) => last >= 2 * each && step >= each) ?? [1, "s"];
  if (unit === "s" && last >= 600) return splits.map(clock);
  return splits.map((value) => `${Number((value / size).toPrecision(10))} ${unit}`.replace("-", "−"));
}

/** "12:05" or "3:12:05": where minutes and seconds both count. */
function clock(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
