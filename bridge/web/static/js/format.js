// Numbers as people of the field say them: 1.02 pA, 50 µA/cm², 3.61 V, (1.002 ± 0.005) pA.
// The same rules as bridge/analysis/formatting.py, with the signs that a page can show.

const PREFIXES = new Map([
  [-18, "a"], [-15, "f"], [-12, "p"], [-9, "n"], [-6, "µ"], [-3, "m"], [0, ""], [3, "k"], [6, "M"], [9, "G"], [12, "T"],
]);
const AREAL = new Map([
  ["A/m**2", ["A/cm²", 1e-4]], ["A/m2", ["A/cm²", 1e-4]], ["A*h/m**2", ["Ah/cm²", 1e-4]], ["Ah/m2", ["Ah/cm²", 1e-4]],
  ["F/m**2", ["F/cm²", 1e-4]], ["ohm*m**2", ["Ω cm²", 1e4]],
]);
const SPELLED = new Map([
  ["A*h", "Ah"], ["ohm", "Ω"], ["Ohm", "Ω"], ["1", ""], ["m**2", "m²"], ["degree", "°"], ["deg", "°"],
]);
const NO_PREFIX = new Set(["°", "", "%", "°C"]);
const MINUS = "−";
export const UNKNOWN = "–";

/** `value` with a prefix and so many significant digits: `si(1.02e-12, "A")` is "1.02 pA". */
export function si(value, unit = "", digits = 3) {
  const { number, unit: said } = parts(value, unit, digits);
  return join(cut(number), said);
}

/**
 * As `si`, number and unit apart and trailing zeros kept, so that a live number keeps its width. A `roomy` one keeps its
 * unit too while it wavers about a power of ten: 0.99 pA, not 990 fA.
 */
export function parts(value, unit = "", digits = 3, roomy = false) {
  if (typeof value !== "number" || Number.isNaN(value)) return { number: UNKNOWN, unit: spelled(unit) };
  if (!Number.isFinite(value)) return { number: `${value < 0 ? MINUS : ""}∞`, unit: spelled(unit) };
  const [scaled, said] = areal(value, unit);
  const rounded = Number(scaled.toExponential(digits - 1));
  const exponent = NO_PREFIX.has(said) ? 0 : engineering(roomy ? rounded * 1.2 : rounded);
  const shown = rounded / 10 ** exponent;
  const decimals = rounded === 0 ? 0 : Math.max(0, digits - 1 - magnitude(shown));
  return { number: signed(shown.toFixed(Math.min(decimals, 20))), unit: PREFIXES.get(exponent) + said };
}

/** A value to the digits that its scatter leaves it, at least two and at most six: {number, unit}. */
export function certain(value, scatter, unit) {
  if (!(Math.abs(value) > 0) || !(scatter > 0)) return parts(value, unit, 4, true);
  const digits = magnitude(value) - Math.round(Math.log10(scatter)) + 1;
  return parts(value, unit, Math.min(6, Math.max(2, digits)), true);
}

/** Value and uncertainty, two digits of it, under one prefix: "(1.0021 ± 0.0048) pA". */
export function withUncertainty(value, uncertainty, unit) {
  if (!Number.isFinite(value) || !(uncertainty > 0) || !Number.isFinite(uncertainty)) return si(value, unit);
  if (uncertainty < 1e-6 * Math.abs(value)) return si(value, unit, 6);
  const [scaled, said] = areal(value, unit);
  const doubt = uncertainty * (scaled / value || 1);
  const exponent = NO_PREFIX.has(said) ? 0 : engineering(Math.max(Math.abs(scaled), doubt));
  const decimals = Math.min(20, Math.max(0, 1 - magnitude(doubt / 10 ** exponent)));
  const [number, plusMinus] = [scaled, doubt].map((each) => signed((each / 10 ** exponent).toFixed(decimals)));
  return join(`(${number} ± ${plusMinus})`, PREFIXES.get(exponent) + said);
}

/** An area in the unit of its size: µm² for nanobatteries, cm² for sheets. */
export function area(squareMetres) {
  if (typeof squareMetres !== "number") return UNKNOWN;
  return Math.abs(squareMetres) < 1e-7 ? `${plain(squareMetres * 1e12)} µm²` : `${plain(squareMetres * 1e4)} cm²`;
}

/** "303.5 s" up to ten minutes, then "15 min 0 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 0) return MINUS + duration(-seconds);
  if (seconds < 1e-3 && seconds > 0) return si(seconds, "s");
  if (seconds < 600) return `${plain(seconds, 4)} s`;
  if (seconds < 3600) return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2 * 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago, coarsely. */
export function ago(seconds) {
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 2 * 86400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export function percent(fraction, digits = 3) {
  return typeof fraction !== "number" || Number.isNaN(fraction) ? UNKNOWN : `${plain(fraction * 100, digits)} %`;
}

/** A value in its own unit as somebody would type it, also for "m**2" and "s": what a form shows as its default. */
export function quantity(value, unit) {
  if (typeof value !== "number") return String(value ?? "");
  if (unit === "m**2") return area(value);
  if (unit === "s") return `${plain(value, 12)} s`;
  return si(value, unit, 12);
}

/** A number with so many significant digits, no exponent, no trailing zeros. */
export function plain(value, digits = 3) {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (value === 0) return "0";
  return cut(signed(value.toFixed(Math.min(20, Math.max(0, digits - 1 - magnitude(value))))));
}

/** The factor and unit under which all of some values are shown: [1e12, "pA"]. */
export function scaleOf(largest, unit) {
  const [scaled, said] = areal(largest, unit);
  const exponent = NO_PREFIX.has(said) ? 0 : engineering(scaled);
  return [(largest ? scaled / largest : 1) / 10 ** exponent, PREFIXES.get(exponent) + said];
}

function areal(value, unit) {
  const [said, factor] = AREAL.get(unit) ?? [spelled(unit), 1];
  return [value * factor, said];
}

function spelled(unit) {
  return AREAL.get(unit)?.[0] ?? SPELLED.get(unit) ?? unit;
}

function magnitude(value) {
  return Math.floor(Math.log10(Math.abs(value)) + 1e-12);
}

function engineering(value) {
  if (!value) return 0;
  return Math.min(12, Math.max(-18, 3 * Math.floor(Math.log10(Math.abs(value)) / 3 + 1e-12)));
}

function signed(text) {
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
}

function cut(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function join(number, unit) {
  return unit === "°" || unit === "" ? number + unit : `${number} ${unit}`;
}
