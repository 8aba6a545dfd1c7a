// One run: what it is, what came of it, what it measured, what was said about it.

import { h, keyed, replace, setText } from "../dom.js";
import { duration } from "../format.js";
import { LiveSource } from "../live-source.js";
import { named, say } from "../named.js";
import { PastSource } from "../past-source.js";
import { dateTime, fromNs, shortTime, zone } from "../time.js";
import { Timeline } from "../timeline.js";
import { titleOf } from "./focus.js";
import { questionForm } from "./question.js";
import { resultPanel } from "./result.js";
import { runActions } from "./run-actions.js";
import { verdictOf } from "./verdict.js";

export function runPage(root, id, context) {
  const { lab, watch, link } = context;
  const title = h("h1", {});
  const pill = h("span", { class: "pill" });
  const actions = h("div", { class: "run-actions" });
  const ask = h("div");
  const said = h("p", { class: "verdict" });
  const result = h("div");
  const charts = h("div", { class: "stack" });
  const side = h("aside", { class: "stack", "aria-label": "About this run" });
  const missing = h("p", { class: "empty" }, `Nothing is known of a run ${id}. The bridge remembers the newest hundred.`);
  root.append(h("p", { class: "small" }, h("a", { href: link("runs") }, "All runs")),
    h("div", { class: "title" }, title, pill, h("span", { class: "spread" }), actions), missing, ask,
    h("div", { class: "overview-grid" }, h("div", { class: "stack" }, said, result, charts), side));
  const offer = runActions(actions, context);
  const question = questionForm(ask, context);
  const drawResult = resultPanel(result, context);
  const about = aboutPanel(side, context);
  const curves = chartPanels(charts, id, context);
  watch(lab, ["runs", "status", "device", "event"], () => {
    const run = lab.runs.get(id);
    missing.hidden = Boolean(run);
    setText(title, run ? titleOf(run) : id);
    pill.hidden = !run;
    if (!run) return;
    const verdict = verdictOf(run, lab.results.get(id));
    pill.className = `pill ${verdict.kind}`;
    setText(pill, verdict.text);
    setText(said, verdict.reason);
    offer(run);
    question(run);
    drawResult(run, lab.results.get(id));
    about(run);
    curves(run);
  });
}

/** A panel of curves for each stream, live while the run goes, of the daemon's disk afterwards. */
function chartPanels(root, id, context) {
  const { lab, signal } = context;
  const shown = new Map();
  return (run) => {
    for (const [device, part] of Object.entries(run.streams ?? {})) {
      const live = run.status === "running" && lab.devices.get(device)?.info?.interface === "potentiostat";
      const empty = !live && part.next_index <= part.first_index;
      const key = live ? "live" : `${part.first_index} ${part.next_index}`;
      if (empty || shown.get(device)?.key === key) continue;
      shown.get(device)?.left.abort();
      shown.get(device)?.panel.remove();
      const left = new AbortController();
      signal.addEventListener("abort", () => left.abort(), { once: true });
      const panel = h("section", { class: "panel", "aria-label": `Curves of ${device}` }, h("div", { class: "head" }, h("h2", {}, `Curves of ${device}`)));
      root.append(panel);
      shown.set(device, { key, left, panel });
      if (live) liveCurves(panel, device, lab, left.signal);
      else pastCurves(panel, part, lab, left.signal);
    }
  };
}

function liveCurves(panel, device, lab, signal) {
  const source = new LiveSource(lab, lab.follow(device, signal), () => timeline.draw());
  const timeline = new Timeline(panel, { source, signal, live: true });
  lab.addEventListener("samples", ({ detail }) => detail === device && timeline.draw(), { signal });
}

function pastCurves(panel, part, lab, signal) {
  const said = h("p", { class: "empty", role: "status" }, "Fetching the curves");
  panel.append(said);
  const source = new PastSource(lab, part, () => {
    setText(said, source.error ? `The curves cannot be had: ${source.error.message}` : "");
    said.hidden = !source.error;
    if (!source.error && !signal.aborted) timeline ??= new Timeline(panel, { source, signal });
  });
  let timeline = null;
}

function aboutPanel(root, { lab, link }) {
  const facts = h("dl", { class: "facts" });
  const parameters = h("dl", { class: "facts small" });
  const events = h("ol", { class: "rows small" });
  const eventPanel = h("section", { class: "panel" }, h("h2", {}, "What was said"), events);
  root.append(h("section", { class: "panel" }, h("h2", {}, "This run"), facts), h("section", { class: "panel" }, h("h2", {}, "Parameters"), parameters), eventPanel);
  let before = "";
  return (run) => {
    drawEvents(run);
    const key = JSON.stringify([run.status, run.folder, run.resumed_by, run.parts, run.health, Boolean(lab.doubt)]);
    if (key === before) return;
    before = key;
    const to = (id) => h("a", { href: link("runs", id) }, id);
    const rows = [
      ["Name", run.run],
      ["Began", `${dateTime(fromNs(run.started_ns))} ${zone(fromNs(run.started_ns))}`],
      ["Took", run.ended_ns && duration(Math.round((run.ended_ns - run.started_ns) / 1e9))],
      ...Object.entries(run.devices ?? {}).map(([role, device]) => [named(role).label, [device].flat().join(", ")]),
      ["Goes on from", run.resumes && to(run.resumes)],
      ["Went on as", run.resumed_by && to(run.resumed_by)],
      ["Parts", run.parts?.length > 0 && h("ul", {}, run.parts.map((part) => h("li", {}, `${part.title || part.procedure}: ${part.status}`)))],
      ["Health watch", healthOf(run)],
      ["Folder", run.folder && h("code", {}, run.folder)],
      ["Report", run.folder && run.status !== "running" && h("a", { href: `/runs/${encodeURIComponent(run.run)}/report.html`, target: "_blank", rel: "noopener" }, "Open the report")],
    ];
    replace(facts, rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const given = Object.entries(run.parameters ?? {}).filter(([, value]) => value !== null && value !== "");
    replace(parameters, given.map(([name, value]) => [named(name).label, say(name, value)]).filter(([, value]) => value !== null)
      .flatMap(([name, value]) => [h("dt", {}, name), h("dd", { class: "number" }, value.length > 200 ? `${value.slice(0, 200)} …` : value)]));
  };

  function drawEvents(run) {
    const said = lab.events.filter((event) => event.run === run.run).slice(0, 50);
    eventPanel.hidden = said.length === 0;
    keyed(events, said, (event) => `${event.time_ns} ${event.text}`, (event) => h("li", { class: `event ${event.severity}` }, h("span", { class: "muted number" }, shortTime(fromNs(event.time_ns))), " ", event.text));
  }
}

function healthOf(run) {
  if (!run.health?.enabled) return "off";
  const counts = Object.entries(run.health.counts ?? {}).map(([kind, count]) => `${named(kind).label} ${count}`);
  return counts.length ? `${counts.join(", ")}${run.health.last?.text ? `. ${run.health.last.text}` : ""}` : "nothing found";
}
