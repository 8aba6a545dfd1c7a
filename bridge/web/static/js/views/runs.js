// The runs that the bridge remembers, the newest first; and one of them.

import { h, keyed, setText } from "../dom.js";
import { duration } from "../format.js";
import { titleOf } from "../parts/focus.js";
import { runPage } from "../parts/run-page.js";
import { verdictOf } from "../parts/verdict.js";
import { fromNs, shortTime } from "../time.js";

export const runs = {
  id: "runs",
  title: "Runs",
  mount(root, context) {
    const [run] = context.path;
    if (run) runPage(root, run, context);
    else list(root, context);
  },
};

function list(root, { lab, watch, link }) {
  const rows = h("ul", { class: "rows run-list" });
  const empty = h("p", { class: "empty" }, "No run yet. The newest hundred are listed here; all that were recorded: picobridge runs, on the lab PC.");
  root.append(h("div", { class: "title" }, h("h1", {}, "Runs"), h("span", { class: "spread" }), h("a", { class: "button", href: link("start") }, "Start an experiment")), h("section", { class: "panel" }, empty, rows));
  watch(lab, ["runs"], () => {
    const all = [...lab.runs.values()].sort((a, b) => b.started_ns - a.started_ns);
    empty.hidden = all.length > 0;
    keyed(rows, all, (each) => each.run, (each) => row(each, link), (element, each) => update(element.firstElementChild, each, lab));
  });
}

function row(run, link) {
  return h("li", {}, h("a", { class: "run-row", href: link("runs", run.run) },
    h("span", { class: "run-when number muted" }), h("span", { class: "run-what" }, h("strong", {}, titleOf(run)), h("span", { class: "muted small" })),
    h("span", { class: "pill" }), h("span", { class: "run-reason muted" }), h("span", { class: "run-took number muted" })));
}

function update(element, run, lab) {
  const [when, what, pill, reason, took] = element.children;
  const verdict = verdictOf(run, lab.results.get(run.run));
  setText(when, shortTime(fromNs(run.started_ns)));
  setText(what.lastChild, Object.values(run.devices ?? {}).flat().join(", "));
  pill.className = `pill ${verdict.kind}`;
  setText(pill, verdict.text);
  setText(reason, verdict.reason);
  setText(took, run.ended_ns ? duration(Math.round((run.ended_ns - run.started_ns) / 1e9)) : "");
}
