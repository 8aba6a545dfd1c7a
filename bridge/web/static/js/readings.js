// What a device last said of itself, in a line; and whether that is new.

import { say } from "./named.js";
import { parts, si } from "./format.js";
import { flagWords } from "./samples.js";

/** Idle devices are read once a second: what is older than this is no longer so for sure. */
export const OLD_S = 5;

const INTERFACES = { potentiostat: "Potentiostat", stage: "Stage", manipulator: "Manipulator", feedthrough: "Feedthrough", gauge: "Vacuum gauge" };
const CONNECTIONS = {
  connecting: ["warning", "Connecting"], connected: ["ok", "Connected"], lost: ["danger", "Lost"], failed: ["danger", "Not found"], closed: ["danger", "Closed"],
};

export function interfaceName(device) {
  return INTERFACES[device.info?.interface] ?? device.info?.interface ?? "Device";
}

export function makeOf(device) {
  const { make, model } = device.info?.identity ?? {};
  return [make, model].filter(Boolean).join(" ") || device.info?.driver || "";
}

/** [kind, words] of a device's connection, as a pill. */
export function connectionOf(device, lab) {
  if (lab.doubt) return ["", "Not known"];
  const { connection, mode } = device.state ?? {};
  if (connection === "connected" && mode === "run") return ["running", "In use"];
  return CONNECTIONS[connection] ?? ["", "Not heard of"];
}

/** Seconds since the newest value was heard; Infinity if none was but what the broker had kept. */
export function ageOf(device) {
  return device.latestAt ? (performance.now() - device.latestAt) / 1000 : Infinity;
}

/** Whether the newest value of a device is what is so now. */
export function isFresh(device, lab) {
  return !lab.doubt && device.state?.connection === "connected" && ageOf(device) < OLD_S;
}

/** The newest value in words, "" if there is none. */
export function readingOf(device) {
  const { latest } = device;
  if (!latest) return "";
  switch (device.info?.interface) {
    case "potentiostat":
      return [si(latest.voltage_v, "V", 4), si(latest.current_a, "A", 4), ...flagWords(latest.flags ?? 0)].join(", ");
    case "gauge":
      return latest.valid ? say("pressure_pa", latest.pressure_pa) : `no valid pressure: ${latest.status}`;
    case "feedthrough":
      return latest.route === "open" ? "all routes open" : `route ${latest.route}`;
    default:
      return position(latest);
  }
}

function position(latest) {
  const lengths = ["x", "y", "z"].filter((axis) => typeof latest[`${axis}_m`] === "number");
  const angles = ["tilt", "rotation"].filter((axis) => typeof latest[`${axis}_deg`] === "number");
  const said = [
    ...lengths.map((axis) => `${axis} ${length(latest[`${axis}_m`])}`),
    ...angles.map((axis) => `${axis} ${say(`${axis}_deg`, latest[`${axis}_deg`], 3)}`),
  ];
  return said.join(", ") || "position not known";
}

function length(metres) {
  const { number, unit } = parts(metres, "m", 4);
  return metres === 0 ? "0" : `${number} ${unit}`;
}
