// Names of a sheet's quantities as people say them (docs/sheet.md lists them), with their units.

import { plain, si } from "../../format.js";

const NAMES = new Map([
  ["ocv_v", "open-circuit voltage"],
  ["ocv_std_v", "scatter of the voltage"],
  ["ocv_drop_v", "fall of the voltage"],
  ["z_top_ohm", "|Z| at the highest frequency"],
  ["z_low_ohm", "|Z| at the lowest frequency"],
  ["phase_low_deg", "phase at the lowest frequency"],
  ["frequency_low_hz", "lowest frequency"],
  ["points", "points"],
  ["flagged", "flagged points"],
  ["kk_residual", "Kramers-Kronig residual"],
  ["repeat_change", "change when repeated"],
  ["visits", "visits"],
]);
const UNITS = { v: "V", ohm: "Ω", deg: "°", hz: "Hz", a: "A", f: "F", s: "s" };
const AT = /^(z|phase|z_real|z_imag)_([0-9]+(?:p[0-9]+)?)(hz|khz|mhz)_(ohm|deg)$/;
const AT_WORDS = { z: "|Z|", phase: "phase", z_real: "Z′", z_imag: "Z″" };
const AT_UNITS = { hz: "Hz", khz: "kHz", mhz: "MHz" };

export function quantityName(name) {
  const at = AT.exec(name);
  if (at) return `${AT_WORDS[at[1]]} at ${at[2].replace("p", ".")} ${AT_UNITS[at[3]]}`;
  return NAMES.get(name) ?? name.replaceAll("_", " ");
}

export function unitOf(name) {
  return name.includes("_") ? (UNITS[name.slice(name.lastIndexOf("_") + 1)] ?? "") : "";
}

export function say(name, value, digits = 4) {
  if (typeof value !== "number") return "not measured";
  const unit = unitOf(name);
  return unit ? si(value, unit, digits) : plain(value, digits);
}

/** What one would choose first, first. */
export function ordered(names) {
  const rank = (name) => (name === "ocv_v" ? 0 : name === "z_1khz_ohm" ? 1 : NAMES.has(name) ? 3 : AT.test(name) ? 2 : 4);
  return [...names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}
