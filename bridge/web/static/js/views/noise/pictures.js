// A noise test's statistics as pictures, and its numbers as rows. `r` is what the procedure returns, or its statistics so
// far, which have no verdict. Nothing is computed here but where a curve lies.

import { duration, percent, plain, scaleOf, si, withUncertainty } from "../../format.js";
import { frequencyTick, logTick } from "../../ticks.js";

/** Mains lines nearer than this to each other share a label. */
const SAME_PLACE = 1.04;

/** Averages in time with the tolerance. */
export function seriesPicture(r) {
  const { time_s: time = [], current_a: current = [] } = r.averages ?? {};
  const [factor, unit] = currentScale(r);
  const set = r.set_current_a * factor;
  const tolerance = r.tolerance_a * factor;
  const values = current.map((each) => scaled(each, factor));
  const all = [...values.filter((each) => each !== null), set - 1.35 * tolerance, set + 1.35 * tolerance];
  return {
    x: { label: "time since the source was switched on / s" },
    y: { label: `current / ${unit}`, range: widen(all, 0.03) },
    bands: [{ y: [set - tolerance, set + tolerance], style: "good", name: "tolerance" }],
    marks: [{ y: set, style: "good", name: "set" }, ...(r.mean_a === null ? [] : [{ y: r.mean_a * factor, style: "mean", name: "mean" }])],
    layers: [
      { kind: "line", x: time, y: values, style: "thin" },
      { kind: "points", x: time, y: values, style: "small", read: (index) => `${plain(time[index], 4)} s: ${si(current[index], "A", 4)}` },
    ],
    note: time.length ? "" : r.averages === null ? "too many averages for the result" : "no averages",
    text: time.length
      ? `${time.length} averages from ${si(Math.min(...current), "A")} to ${si(Math.max(...current), "A")}; set ${si(r.set_current_a, "A")}, tolerance ${si(r.tolerance_a, "A")}.`
      : "No averages.",
  };
}

/** Counts of averages, with a normal distribution of the same mean and s. */
export function histogramPicture(r) {
  const { edges_a: edges = [], counts = [], within_std: share = null } = r.histogram ?? {};
  const [factor, unit] = currentScale(r);
  const set = r.set_current_a * factor;
  const tolerance = r.tolerance_a * factor;
  const x = edges.map((edge) => edge * factor);
  const normal = gaussian(r, edges, factor);
  const highest = Math.max(1, ...counts, ...normal.y);
  return {
    x: { label: `average current / ${unit}`, range: widen([...x, ...normal.x, set - 1.2 * tolerance, set + 1.2 * tolerance], 0.02) },
    y: { label: "averages", range: [0, highest * 1.1] },
    bands: [{ x: [set - tolerance, set + tolerance], style: "good", name: "tolerance" }],
    marks: [{ x: set, style: "good", name: "set" }],
    layers: [
      {
        kind: "bars",
        name: "measured",
        x,
        y: counts,
        read: (index) => `${si(edges[index], "A", 4)} to ${si(edges[index + 1], "A", 4)}: ${counts[index]}`,
      },
      { kind: "line", name: "normal, same mean and s", style: "theory", ...normal },
    ],
    note: counts.length ? "" : "no averages",
    text: counts.length
      ? `${counts.reduce((a, b) => a + b, 0)} averages in ${counts.length} bins; ${percent(share)} within one s of the mean, a normal distribution has 68.3 %.`
      : "No averages.",
  };
}

/** Amplitude density, with the mains where sampling folds it to. */
export function spectrumPicture(r) {
  const { frequency_hz: frequency = [], density_a_per_rthz: density = [], lines = [], rate_hz: rate = null } = r.spectrum ?? {};
  const usual = [...density].filter((each) => each > 0).sort((a, b) => a - b);
  const [factor, unit] = scaleOf(usual[usual.length >> 1] ?? 1e-12, "A");
  const places = [];
  for (const line of lines) {
    if (line.amplitude_a_rms === null) continue;
    const near = places.find(({ x }) => Math.max(x, line.seen_at_hz) < SAME_PLACE * Math.min(x, line.seen_at_hz));
    if (near) near.names.push(plain(line.frequency_hz));
    else places.push({ x: line.seen_at_hz, names: [plain(line.frequency_hz)], style: line.found ? "found" : "" });
  }
  const hidden = lines.filter((line) => line.amplitude_a_rms === null).map((line) => plain(line.frequency_hz));
  const values = density.map((each) => scaled(each, factor));
  const found = lines.filter((line) => line.found);
  const mains = found.length
    ? `Mains above the noise: ${found.map((line) => `${plain(line.frequency_hz)} Hz, ${si(line.amplitude_a_rms, "A")} rms`).join("; ")}.`
    : "No line of the mains stands above the noise.";
  const folds = hidden.length ? ` ${hidden.join(", ")} Hz fold onto the mean at ${plain(rate)} samples a second and cannot be seen.` : "";
  return {
    x: { label: "frequency / Hz", log: true, tick: frequencyTick },
    y: { label: `density / (${unit}/√Hz)`, log: true, tick: logTick },
    marks: places.map(({ x, names, style }) => ({ x, label: `${names.join(", ")} Hz`, style })),
    layers: [{ kind: "line", x: frequency, y: values, read: (index) => `${si(frequency[index], "Hz")}: ${si(density[index], "A")}/√Hz` }],
    note: frequency.length ? "" : "the record is too short",
    caption: frequency.length ? mains + folds : "",
    text: frequency.length ? mains + folds : "The record is too short for a spectrum.",
  };
}

/** Allan deviation, with what white noise would do. */
export function allanPicture(r) {
  const { tau_s: tau = [], deviation_a: deviation = [], minimum_a: lowest = null, minimum_tau_s: at = null } = r.allan ?? {};
  const [factor, unit] = scaleOf(deviation[0] || 1e-12, "A");
  const values = deviation.map((each) => scaled(each, factor));
  const white = tau.map((each) => values[0] * Math.sqrt(tau[0] / each));
  const layers = [
    { kind: "line", style: "theory", name: "if it were white", x: tau, y: white },
    { kind: "line", x: tau, y: values },
    { kind: "points", name: "measured", x: tau, y: values, read: (index) => `over ${duration(tau[index])}: ${si(deviation[index], "A")}` },
  ];
  if (lowest !== null) {
    layers.push({ kind: "points", shape: "ring", style: "lowest", name: `lowest: ${si(lowest, "A")} at ${duration(at)}`, x: [at], y: [lowest * factor] });
  }
  return {
    x: { label: "averaging time / s", log: true, tick: logTick },
    y: { label: `deviation / ${unit}`, log: true, tick: logTick },
    layers: tau.length ? layers : [],
    note: tau.length ? "" : "too few averages",
    text: lowest === null ? "Too few averages." : `Lowest ${si(lowest, "A")} when averaging over ${duration(at)}; from ${si(deviation[0], "A")} at ${duration(tau[0])}.`,
  };
}

/** [what, text] of the numbers, those of the verdict first. */
export function numbers(r) {
  const rows = [["Set, tolerance", `${si(r.set_current_a, "A")} ± ${si(r.tolerance_a, "A")}`]];
  if (r.mean_a !== null) rows.push(["Mean", `${withUncertainty(r.mean_a, r.mean_half_width_a, "A")}, 90 % confidence`]);
  if (r.std_a !== null) {
    rows.push(["s", `${si(r.std_a, "A")}, below ${si(r.std_upper_a, "A")} with 95 % confidence`]);
    rows.push(["Drift over the test", withUncertainty(r.drift_over_test_a, r.drift_over_test_half_width_a, "A")]);
  }
  const share = r.histogram?.within_std;
  if (typeof share === "number") rows.push(["Within one s", `${percent(share)}; expected 68.3 % of a normal distribution`]);
  rows.push(["Averages", `${r.n} of ${duration(r.averaging_s)}, worth ${plain(r.n_effective, 3)} independent ones`]);
  if (typeof r.instrument_error_a === "number") {
    const noise = typeof r.instrument_noise_a_rms === "number" ? `, noise ${si(r.instrument_noise_a_rms, "A")} rms` : "";
    rows.push(["Expected by the maker", `within ± ${si(r.instrument_error_a, "A")} on ${r.range}${noise}`]);
  }
  rows.push(["Outliers, flags, gaps", `${r.outliers}, ${r.flagged}, ${r.gaps?.length ?? 0}`]);
  return rows;
}

function currentScale(r) {
  return scaleOf(Math.max(Math.abs(r.set_current_a), r.tolerance_a), "A");
}

function gaussian(r, edges, factor) {
  if (!edges.length || !(r.std_a > 0)) return { x: [], y: [] };
  const count = r.histogram.counts.reduce((a, b) => a + b, 0);
  const height = (count * (edges[1] - edges[0])) / (r.std_a * Math.sqrt(2 * Math.PI));
  const steps = Array.from({ length: 81 }, (_, index) => (index - 40) / 11.5);
  return { x: steps.map((z) => (r.mean_a + z * r.std_a) * factor), y: steps.map((z) => height * Math.exp((-z * z) / 2)) };
}

function scaled(value, factor) {
  return value === null ? null : value * factor;
}

function widen(values, share) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [low - (high - low) * share, high + (high - low) * share];
}
