// Text with a unit, read as the daemon reads it, as far as a form can tell beforehand. The daemon has the last word.

const PREFIXES = { a: 1e-18, f: 1e-15, p: 1e-12, n: 1e-9, u: 1e-6, "µ": 1e-6, "μ": 1e-6, m: 1e-3, c: 1e-2, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const TIMES = { s: 1, min: 60, h: 3600, d: 86400, day: 86400, days: 86400 };
const BASES = {
  A: ["A"], V: ["V"], C: ["C"], F: ["F"], Hz: ["Hz"], m: ["m"], Pa: ["Pa"], ohm: ["ohm", "Ohm", "Ω"], "A*h": ["Ah", "A*h"],
};
const EXAMPLES = {
  A: "10 pA", V: "4.2 V", m: "1.5 mm", "m**2": "10 um2", deg: "52 deg", s: "30 s", Hz: "10 Hz", "A/m**2": "50 uA/cm2",
  "A*h/m**2": "12.5 uAh/cm2", "A*h": "1.25 pAh", C: "4.5 nC", Pa: "1e-5 mbar", "m/s": "1 um/s", ohm: "1 Gohm", 1: "0.5",
};
/** Nobody types these bare: "10" is ten of a unit in somebody's head. */
const NEVER_BARE = new Set(["A", "A/m**2", "m", "m**2", "C", "F", "A*h", "A*h/m**2"]);
const TEXT = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$/;

/** What is accepted, as people write it. */
export function exampleOf(unit) {
  return EXAMPLES[unit] ?? `1 ${unit}`;
}

/**
 * {value} in `unit`; {error} saying what is accepted; {} for a unit that only the daemon knows.
 */
export function parse(text, unit) {
  const match = TEXT.exec(String(text).replaceAll("−", "-"));
  const example = exampleOf(unit);
  if (!match) return { error: `“${text}” is no quantity; accepted: such as ${example}` };
  const number = Number(match[1]);
  const said = match[2].replaceAll(" ", "");
  if (!said) {
    if (NEVER_BARE.has(unit) && number !== 0) return { error: `“${text}” has no unit; accepted: such as ${example}` };
    return { value: number };
  }
  const factor = factorOf(said, unit);
  return factor === undefined ? {} : { value: number * factor };
}

function factorOf(said, unit) {
  const text = said.replaceAll("²", "2").replaceAll("^", "").replaceAll("**", "");
  if (unit === "s") return TIMES[text] ?? prefixed(text, ["s"]);
  if (unit === "deg") return { deg: 1, "°": 1, degree: 1, degrees: 1 }[text];
  if (unit === "m**2") return squared(text);
  if (unit === "A/m**2" || unit === "A*h/m**2") {
    const [above, below, ...rest] = text.split("/");
    const top = rest.length ? undefined : prefixed(above, unit === "A/m**2" ? BASES.A : BASES["A*h"]);
    const area = below === undefined ? undefined : squared(below);
    return top === undefined || area === undefined ? undefined : top / area;
  }
  if (unit === "Pa" && text.endsWith("bar")) return scaled(text.slice(0, -3), 1e5);
  if (unit === "A*h" && text.endsWith("C")) return scaled(text.slice(0, -1), 1 / 3600);
  if (unit === "C" && text.endsWith("Ah")) return scaled(text.slice(0, -2), 3600);
  return BASES[unit] ? prefixed(text, BASES[unit]) : undefined;
}

function squared(text) {
  if (!text.endsWith("m2")) return undefined;
  const length = scaled(text.slice(0, -2), 1);
  return length === undefined ? undefined : length * length;
}

function prefixed(text, bases) {
  for (const base of bases) {
    if (!text.endsWith(base)) continue;
    const factor = scaled(text.slice(0, text.length - base.length), 1);
    if (factor !== undefined) return factor;
  }
  return undefined;
}

function scaled(prefix, factor) {
  if (prefix === "") return factor;
  return Object.hasOwn(PREFIXES, prefix) ? PREFIXES[prefix] * factor : undefined;
}
