// Names of values as programs have them, in words: "voltage_max_v" is Voltage max, in volts.

import { UNKNOWN, area, duration, plain, quantity, si } from "./format.js";
import { dateTime, fromNs } from "./time.js";

const UNITS = [
  ["_ah_per_m2", "A*h/m**2"], ["_a_per_m2", "A/m**2"], ["_ohm_m2", "ohm*m**2"], ["_f_per_m2", "F/m**2"], ["_m2", "m**2"], ["_m_per_s", "m/s"],
  ["_ah", "A*h"], ["_ohm", "ohm"], ["_hz", "Hz"], ["_deg", "deg"], ["_pa", "Pa"], ["_wh", "Wh"], ["_ns", "ns"],
  ["_v", "V"], ["_a", "A"], ["_c", "C"], ["_f", "F"], ["_s", "s"], ["_m", "m"], ["_k", "K"], ["_w", "W"],
];
const SHORT = new Set(["cc", "cv", "id", "ac", "dc", "gitt"]);

/** {label, unit} of a name. */
export function named(name) {
  const [suffix, unit] = UNITS.find(([each]) => name.endsWith(each)) ?? ["", ""];
  const words = name.slice(0, name.length - suffix.length).replaceAll("_", " ").replaceAll("-", " ").trim();
  const said = words.split(" ").map((word) => (SHORT.has(word) ? word.toUpperCase() : word)).join(" ");
  return { label: said ? said[0].toUpperCase() + said.slice(1) : name, unit };
}

/** A value of that name as people say it. Objects and long lists are left to who knows them: null. */
export function say(name, value, digits = 4) {
  const { unit } = named(name);
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.length < 9 && value.every((each) => typeof each !== "object") ? value.map((each) => say(name, each, digits)).join(", ") : null;
  if (typeof value !== "number") return null;
  if (unit === "ns") return dateTime(fromNs(value));
  if (unit === "s") return duration(value);
  if (unit === "m**2") return area(value);
  if (unit === "Pa") return pressure(value);
  if (unit) return si(value, unit, digits);
  return Number.isInteger(value) ? String(value) : plain(value, digits);
}

/** In millibar, as vacuum gauges show it: 5.0 × 10⁻⁶ mbar. */
export function pressure(pascal) {
  const [mantissa, exponent] = (pascal / 100).toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] ?? "⁻").join("");
  return pascal > 0 ? `${mantissa} × 10${raised} mbar` : `${plain(pascal / 100)} mbar`;
}

/** As it would be typed: what a form starts with. */
export function typed(value, unit) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number" || !unit || unit === "1") return String(value);
  return quantity(value, unit).replaceAll("−", "-");
}
