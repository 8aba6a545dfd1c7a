// The devices of a bridge, a line each: which, how it is, what it says.

import { h, keyed, setClass, setText } from "../dom.js";
import { every } from "../frame.js";
import { ago } from "../format.js";
import { ageOf, connectionOf, interfaceName, isFresh, makeOf, readingOf } from "../readings.js";

export function deviceList(root, { lab, watch, signal }) {
  const list = h("ul", { class: "rows devices" });
  root.append(list);
  const draw = () => keyed(list, [...lab.devices.values()], (device) => device.name, row, (element, device) => update(element, device, lab));
  watch(lab, ["device", "status"], draw);
  every(1, draw, signal);
}

function row(device) {
  return h("li", { class: "device" }, h("div", { class: "device-name" }, h("strong", {}, device.name), h("span", { class: "muted small kind" })), h("span", { class: "pill" }),
    h("div", { class: "device-reading number" }), h("div", { class: "device-why small" }));
}

function update(element, device, lab) {
  const [name, pill, reading, why] = element.children;
  const [kind, words] = connectionOf(device, lab);
  setText(name.lastChild, `${interfaceName(device)}${makeOf(device) ? `, ${makeOf(device)}` : ""}`);
  pill.className = `pill ${kind}`;
  setText(pill, words);
  const fresh = isFresh(device, lab);
  const said = readingOf(device);
  const age = ageOf(device);
  const old = fresh || !said ? "" : Number.isFinite(age) ? ` (${ago(age)})` : " (last known)";
  setText(reading, said + old);
  setClass(reading, "stale", !fresh);
  setText(why, device.state?.connection === "connected" ? "" : (device.state?.error?.message ?? ""));
}
