// A spectrum as Nyquist and Bode plots with the fit, and how far it holds together. Points are as they were measured, or as
// the result has them, sorted by whose they are; nothing is computed here but moduli and phases.

import { plain, scaleOf, si, withUncertainty } from "../../format.js";
import { frequencyTick, logTick } from "../../ticks.js";

const OWNERS = [
  ["cell", "the cell's", "circle", ""],
  ["shared", "shared with the lead", "diamond", "shared"],
  ["cable", "the cable's", "cross", "cable"],
];
const BAD_FLAGS = 1 | 2 | 4 | 64;

/** Spectra out of a result: [{name, shape, style, frequency, real, imag}], with the fit as `line`. */
export function spectraOf(r) {
  const { frequency_hz: frequency = [], z_real_ohm: real = [], z_imag_ohm: imag = [], belongs_to: owners = [] } = r;
  const some = (name, shape, style, keep, re, im) => ({
    name,
    shape,
    style,
    frequency: frequency.filter((_, index) => keep(index)),
    real: re.filter((_, index) => keep(index)),
    imag: im.filter((_, index) => keep(index)),
  });
  const found = OWNERS.map(([owner, words, shape, style]) =>
    some(`measured: ${words}`, shape, style, (index) => owners[index] === owner, real, imag),
  ).filter((each) => each.frequency.length);
  if (r.cell_z_real_ohm) {
    const cell = some("the cell, lead taken off", "square", "corrected", (index) => owners[index] !== "cable", r.cell_z_real_ohm, r.cell_z_imag_ohm);
    if (cell.frequency.length) found.push(cell);
  }
  if (r.fit) {
    const { frequency_hz, predicted_real_ohm, predicted_imag_ohm, circuit } = r.fit;
    found.unshift({ name: `fit: ${circuit}`, line: true, style: "fit", frequency: frequency_hz, real: predicted_real_ohm, imag: predicted_imag_ohm });
  }
  return found;
}

/** The same out of points as they come: {step, frequency_hz, z_real_ohm, z_imag_ohm, flags}. */
export function spectraOfPoints(points) {
  const groups = new Map();
  for (const point of points) {
    const doubtful = Boolean(point.flags & BAD_FLAGS) || point.z_real_ohm === null;
    const name = doubtful ? "flagged by the instrument" : point.step || "measured";
    if (!groups.has(name)) {
      const shapes = ["circle", "square", "diamond"];
      const shape = doubtful ? "cross" : shapes[groups.size % shapes.length];
      groups.set(name, { name, shape, style: doubtful ? "cable" : groups.size ? "corrected" : "", frequency: [], real: [], imag: [] });
    }
    const group = groups.get(name);
    group.frequency.push(point.frequency_hz);
    group.real.push(point.z_real_ohm);
    group.imag.push(point.z_imag_ohm);
  }
  return [...groups.values()];
}

export function nyquistPicture(spectra) {
  const [factor, unit] = scaleOf(largest(spectra), "Ω");
  return {
    square: true,
    x: { label: `Z′ / ${unit}` },
    y: { label: `−Z″ / ${unit}` },
    layers: spectra.map((each) => layer(each, each.real.map((value) => times(value, factor)), each.imag.map((value) => times(value, -factor)))),
    note: spectra.length ? "" : "no point yet",
    text: describe(spectra),
  };
}

export function modulusPicture(spectra, r) {
  const [factor, unit] = scaleOf(largest(spectra), "Ω");
  return bode(spectra, r, `|Z| / ${unit}`, (re, im) => Math.hypot(re, im) * factor, { log: true, tick: logTick }, "Modulus over frequency.");
}

export function phasePicture(spectra, r) {
  return bode(spectra, r, "phase / °", (re, im) => (Math.atan2(im, re) * 180) / Math.PI, { range: phaseRange(spectra) }, "Phase over frequency.");
}

/** Residuals of the Kramers-Kronig fit over frequency, in percent of |Z|; null without any. */
export function residualPicture(r) {
  const kk = r?.kramers_kronig;
  if (!kk) return null;
  const complete = kk.residual_real?.length === r.frequency_hz.length;
  const [real, imag] = complete ? [kk.residual_real, kk.residual_imag].map((each) => each.map((value) => times(value, 100))) : [[], []];
  const most = Math.max(0.1, ...[...real, ...imag].map((value) => Math.abs(value ?? 0)));
  const read = (name, values) => (index) => `${si(r.frequency_hz[index], "Hz")}: ${name} off by ${plain(values[index], 2)} %`;
  return {
    x: { label: "frequency / Hz", log: true, tick: frequencyTick },
    y: { label: "of |Z| / %", range: [-1.25 * most, 1.25 * most] },
    marks: [{ y: 0, style: "mean" }, { y: 3, label: "3 %" }, { y: -3 }].filter(({ y }) => Math.abs(y) <= 1.25 * most),
    layers: complete
      ? [
          { kind: "points", name: "Z′", x: r.frequency_hz, y: real, read: read("Z′", real) },
          { kind: "points", name: "Z″", shape: "square", style: "corrected", x: r.frequency_hz, y: imag, read: read("Z″", imag) },
        ]
      : [],
    note: complete ? "" : "too few points",
    text: `Kramers-Kronig: ${kk.verdict}. ${kk.reason}`,
  };
}

/** [what, verdict, text] of what makes the spectrum one that may be believed; verdict "pass", "fail", "doubtful" or "unknown". */
export function validity(r) {
  const rows = [];
  if (r.kramers_kronig) rows.push(["Kramers-Kronig", r.kramers_kronig.verdict, r.kramers_kronig.reason]);
  if (r.drift) rows.push(["Drift", r.drift.steady ? "pass" : "fail", r.drift.text]);
  if (r.linearity) rows.push(["Linearity", { true: "pass", false: "fail" }[r.linearity.linear] ?? "doubtful", r.linearity.text]);
  if (r.noise) rows.push(["Noise", { true: "pass", false: "doubtful" }[r.noise.enough] ?? "unknown", r.noise.text]);
  if (r.cable) rows.push(["Cable", r.cable.above_hz === null ? "pass" : "doubtful", r.cable.text]);
  return rows;
}

function bode(spectra, r, label, value, y, text) {
  const above = r?.cable?.above_hz ?? null;
  return {
    x: { label: "frequency / Hz", log: true, tick: frequencyTick },
    y: { label, ...y },
    bands: above === null ? [] : [{ x: [above, 1e12], style: "cable", label: "the cable" }],
    layers: spectra.map((each) => ({ ...layer(each, each.frequency, each.real.map((re, index) => (re === null ? null : value(re, each.imag[index])))), name: "" })),
    note: spectra.length ? "" : "no point yet",
    text,
  };
}

function layer({ name, shape, style, line, frequency, real, imag }, x, y) {
  if (line) return { kind: "line", name, style, x, y };
  const read = (index) => `${si(frequency[index], "Hz")}: ${complex(real[index], imag[index])}, |Z| ${si(Math.hypot(real[index], imag[index]), "Ω")}`;
  return { kind: "points", name, shape, style, x, y, read };
}

function complex(re, im) {
  const [factor, unit] = scaleOf(Math.max(Math.abs(re), Math.abs(im)), "Ω");
  return `Z ${plain(re * factor, 4)} ${im < 0 ? "−" : "+"} ${plain(Math.abs(im) * factor, 4)}j ${unit}`;
}

function describe(spectra) {
  const told = spectra.filter((each) => !each.line && each.frequency.length).map((each) => {
    const highest = Math.max(...each.frequency);
    const lowest = Math.min(...each.frequency);
    const at = each.frequency.indexOf(lowest);
    return `${each.name}: ${each.frequency.length} points from ${si(highest, "Hz")} to ${si(lowest, "Hz")}, there ${complex(each.real[at], each.imag[at])}.`;
  });
  const fit = spectra.find((each) => each.line);
  return [...told, fit ? `With a ${fit.name}.` : ""].join(" ").trim() || "No point yet.";
}

function largest(spectra) {
  let most = 0;
  for (const { real, imag } of spectra) {
    for (const value of [...real, ...imag]) if (Math.abs(value) > most) most = Math.abs(value);
  }
  return most || 1;
}

function phaseRange(spectra) {
  let [low, high] = [-5, 5];
  for (const { real, imag } of spectra) {
    real.forEach((re, index) => {
      const degrees = re === null ? 0 : (Math.atan2(imag[index], re) * 180) / Math.PI;
      [low, high] = [Math.min(low, degrees - 4), Math.max(high, degrees + 4)];
    });
  }
  return [low, high];
}

function times(value, factor) {
  return value === null ? null : value * factor;
}

/** [name, value ± half of its 95 % interval] of the circuit's parameters. */
export function parameters(r) {
  return (r.fit?.parameters ?? []).map(({ name, unit, value, low, high }) => [name, withInterval(value, (high - low) / 2, unit ?? "")]);
}

const PREFIXED = { Ohm: "Ω", F: "F", H: "H" };

function withInterval(value, half, unit) {
  if (PREFIXED[unit]) return withUncertainty(value, half, PREFIXED[unit]);
  const said = unit.replace("Ohm^-1", "S").replaceAll("Ohm", "Ω").replaceAll("sec", "s").replace("^-1/2", "^(−½)").replace("^a", "ᵅ");
  if (!(half > 1e-6 * Math.abs(value))) return `${scientific(value)} ${said}`.trim();
  const [mantissa, power] = Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? [1, ""] : [10 ** Math.floor(Math.log10(Math.abs(value))), logTick(10 ** Math.floor(Math.log10(Math.abs(value))))];
  const decimals = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(half / mantissa))));
  const text = `${(value / mantissa).toFixed(decimals)} ± ${(half / mantissa).toFixed(decimals)}`;
  return `${power ? `(${text})·${power}` : text} ${said}`.trim();
}

function scientific(value) {
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? plain(value, 6) : logTick(Number(value.toPrecision(6)));
}
