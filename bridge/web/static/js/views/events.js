// What was said since the page was opened, the newest first.

import { h, keyed, setText } from "../dom.js";
import { fromNs, shortTime, zone } from "../time.js";

const SHOWN = 300;
const KINDS = [["All", () => true], ["Warnings", (event) => event.severity !== "info"], ["Safety", ({ kind }) => kind === "safety" || kind === "health"]];

export const events = {
  id: "events",
  title: "Events",
  mount(root, { lab, watch, link }) {
    let fits = KINDS[0][1];
    const list = h("ol", { class: "rows event-list" });
    const empty = h("p", { class: "empty" }, "Nothing yet. Events are shown from when the page was opened; all that were said of a run are in its record.");
    const buttons = KINDS.map(([label, test], place) => h("button", { type: "button", "aria-pressed": String(place === 0), onclick: (event) => choose(test, event.currentTarget) }, label));
    root.append(h("div", { class: "title" }, h("h1", {}, "Events"), h("span", { class: "muted small" }, `times in ${zone()}`), h("span", { class: "spread" }),
      h("div", { class: "segments", role: "group", "aria-label": "Which" }, buttons)), h("section", { class: "panel" }, empty, list));
    const draw = () => {
      const shown = lab.events.filter(fits).slice(0, SHOWN);
      empty.hidden = shown.length > 0;
      keyed(list, shown, keyOf, (event) => row(event, link), update);
    };
    const choose = (test, pressed) => {
      fits = test;
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === pressed)));
      draw();
    };
    watch(lab, ["event"], draw);
  },
};

function keyOf(event) {
  return `${event.time_ns} ${event.kind} ${event.run} ${event.text}`;
}

function row(event, link) {
  const kind = { warning: "warning", error: "danger" }[event.severity] ?? "plain";
  return h("li", { class: "event-row" }, h("time", { class: "number muted" }), h("span", { class: `pill ${kind}` }, event.kind),
    h("span", { class: "event-text" }, event.text, event.error?.hint && h("span", { class: "muted" }, ` ${event.error.hint}`)),
    h("span", { class: "event-about small" }, event.run ? h("a", { href: link("runs", event.run) }, event.run) : event.device));
}

function update(element, event) {
  setText(element.firstElementChild, shortTime(fromNs(event.time_ns)));
}
