// What runs now: numbers for across the room, charts, devices, faults.

import { h, keyed, replace } from "../dom.js";
import { deviceList } from "../parts/devices.js";
import { focus, titleOf } from "../parts/focus.js";

export const overview = {
  id: "overview",
  title: "Overview",
  mount(root, context) {
    const { lab, watch, signal, link } = context;
    const choices = h("div", { class: "choices segments", role: "group", "aria-label": "Potentiostat", hidden: true });
    const main = h("div", { class: "now" });
    const devices = h("section", { class: "panel" }, h("h2", {}, "Devices"));
    root.append(h("div", { class: "overview-grid" }, h("div", { class: "stack" }, choices, main), h("aside", { class: "stack", "aria-label": "Devices" }, devices)));
    deviceList(devices, context);
    let shown = null;
    let chosen = null;
    let inside = null;

    watch(lab, ["runs", "device", "status"], () => {
      const names = candidates(lab);
      if (chosen && !names.includes(chosen)) chosen = null;
      const wanted = chosen ?? (names.includes(shown) ? shown : names[0]) ?? shown;
      choices.hidden = names.length < 2;
      keyed(choices, names, (name) => name, (name) => h("button", { type: "button", onclick: () => ((chosen = name), show(name)) }, name),
        (button, name) => button.setAttribute("aria-pressed", String(name === wanted)));
      show(wanted);
    });

    function show(name) {
      if (name === shown && inside) return;
      shown = name;
      inside?.abort();
      inside = new AbortController();
      signal.addEventListener("abort", () => inside.abort(), { once: true });
      replace(main);
      for (const button of choices.children) button.setAttribute("aria-pressed", String(button.textContent === name));
      if (name) focus(main, name, context, inside.signal);
      else idle(main);
    }

    function idle(place) {
      const last = [...lab.runs.values()].filter((run) => run.ended_ns).sort((a, b) => b.ended_ns - a.ended_ns)[0];
      place.append(h("h1", {}, "Nothing is running"), h("p", { class: "empty" }, "Start an experiment here, from the command line, or from a script: it shows up on this page."),
        h("div", { class: "buttons" }, h("a", { class: "button primary", href: link("start") }, "Start an experiment"),
          last && h("a", { class: "button", href: link("runs", last.run) }, `Last run: ${titleOf(last)}`)));
    }
  },
};

/** Potentiostats that are measuring, the newest run first; those that have just measured stay until the view is left. */
function candidates(lab) {
  return lab.ofInterface("potentiostat").filter((device) => lab.runOf(device.name))
    .sort((a, b) => lab.runOf(b.name).started_ns - lab.runOf(a.name).started_ns).map((device) => device.name);
}
