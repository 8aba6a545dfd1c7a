// Every procedure that the daemon knows, and a form for each, made from its own description.

import { h, keyed, replace } from "../dom.js";
import { startForm } from "../parts/start-form.js";
import { named } from "../named.js";

export const start = {
  id: "start",
  title: "Start",
  mount(root, context) {
    const { lab, path, signal, link } = context;
    const place = h("div", { class: "stack" }, h("p", { class: "empty", role: "status" }, "Asking the daemon what it can do"));
    root.append(place);
    let asked = false;
    const ask = async () => {
      if (asked || lab.doubt) return;
      asked = true;
      try {
        const all = await lab.procedures();
        if (signal.aborted) return;
        const found = all.find(({ name }) => name === path[0]);
        replace(place);
        if (found) startForm(place, found, context);
        else list(place, all, link);
      } catch (error) {
        asked = false;
        replace(place, h("h1", {}, "Start"), h("p", { class: "empty" }, `The daemon does not say what it can do: ${error.message}`),
          h("div", {}, h("button", { type: "button", class: "button", onclick: ask }, "Ask again")));
      }
    };
    context.watch(lab, ["status"], ask);
  },
};

/** In groups that people look for, everything else under its own heading. */
const GROUPS = [
  ["Before anything is energised", ["plan"]],
  ["Is a picoampere one?", ["noise-test", "noise-survey", "current-check"]],
  ["Electrochemistry", ["open-circuit", "rest", "constant-current", "constant-voltage", "cc-cv", "cycle", "gitt", "dc-resistance", "cyclic-voltammetry", "leak-or-trap", "schedule"]],
  ["Impedance", ["impedance", "open-lead"]],
  ["Contact", ["make-contact", "short-test"]],
  ["Stage", ["stage-move", "save-position", "go-to"]],
  ["From film to cycle, and sheets", ["nanobattery-protocol", "sheet-map"]],
];

function list(root, all, link) {
  const filter = h("input", { class: "input", type: "search", placeholder: "Find", "aria-label": "Find an experiment", autocomplete: "off" });
  const groups = h("div", { class: "stack" });
  root.append(h("div", { class: "title" }, h("h1", {}, "Start an experiment"), h("span", { class: "spread" }), h("div", { class: "find" }, filter)), groups);
  const grouped = new Set(GROUPS.flatMap(([, names]) => names));
  const sections = [...GROUPS, ["Others", all.map(({ name }) => name).filter((name) => !grouped.has(name))]];
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const fits = ({ name, summary }) => `${name} ${summary}`.toLowerCase().includes(wanted);
    const shown = sections.map(([title, names]) => [title, names.map((name) => all.find((each) => each.name === name)).filter((each) => each && fits(each))]);
    keyed(groups, shown.filter(([, procedures]) => procedures.length), ([title, procedures]) => `${title} ${procedures.map(({ name }) => name)}`,
      ([title, procedures]) => h("section", {}, h("h2", { class: "group-title" }, title), h("ul", { class: "cards" }, procedures.map((each) => card(each, link)))));
  };
  filter.addEventListener("input", draw);
  draw();
}

function card({ name, summary }, link) {
  return h("li", {}, h("a", { class: "card", href: link("start", name) }, h("strong", {}, named(name).label), h("span", { class: "muted small" }, summary && summary[0].toUpperCase() + summary.slice(1))));
}
