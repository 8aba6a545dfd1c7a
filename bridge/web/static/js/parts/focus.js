// One run under way, or one potentiostat: its numbers, how far it is, its charts.

import { h, replace, setText } from "../dom.js";
import { duration } from "../format.js";
import { every } from "../frame.js";
import { LiveSource } from "../live-source.js";
import { named, say } from "../named.js";
import { Timeline } from "../timeline.js";
import { BigNumbers } from "./numbers.js";
import { questionForm } from "./question.js";
import { runActions } from "./run-actions.js";

/** What the big numbers say already. */
const SAID = new Set(["voltage_v", "current_a"]);

/** Show `device` in `root` until `signal` is aborted. */
export function focus(root, device, context, signal) {
  const { lab, link } = context;
  const inside = { ...context, signal };
  const series = lab.follow(device, signal);
  const title = h("h1", {});
  const id = h("a", { class: "small run-link" });
  const actions = h("div", { class: "run-actions" });
  const ask = h("div");
  const progress = progressBar();
  const panel = h("section", { class: "panel focus", "aria-label": "Now" });
  root.append(h("div", { class: "title" }, h("div", {}, title, id), h("span", { class: "spread" }), actions), ask, panel);
  const numbers = new BigNumbers(panel);
  panel.append(progress.element);
  const source = new LiveSource(lab, series, () => timeline.draw());
  const timeline = new Timeline(panel, { source, signal, live: true });
  const offer = runActions(actions, inside);
  const question = questionForm(ask, inside);

  const run = () => lab.runOf(device) ?? lab.runs.get(series.run);
  const drawRun = () => {
    const now = run();
    setText(title, now?.status === "running" ? titleOf(now) : now ? `${titleOf(now)} has ended` : device);
    setText(id, now ? `${now.run} on ${device}` : "");
    if (now) id.href = link("runs", now.run);
    offer(now?.status === "running" ? now : undefined);
    question(now);
    progress.draw(now);
  };
  const drawNumbers = () => {
    const now = run();
    numbers.draw(series, lab.doubt || lost(lab.devices.get(device)) || (now?.status === "running" ? "" : "Nothing is measured now: these are the last values."));
  };
  context.watch(lab, ["runs", "device", "status"], drawRun);
  every(0.25, drawNumbers, signal);
  every(1, drawRun, signal);
  lab.addEventListener("samples", ({ detail }) => detail === device && timeline.draw(), { signal });
}

export function titleOf(run) {
  const name = run.procedure === "technique" ? run.parameters?.technique ?? "technique" : run.procedure;
  return named(name).label;
}

function capital(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

function lost(device) {
  const connection = device?.state?.connection;
  return connection && connection !== "connected" ? `${device.name} is ${connection}: these are the last values.` : "";
}

function progressBar() {
  const step = h("strong", {});
  const time = h("span", { class: "muted number" });
  const fill = h("div");
  const bar = h("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const values = h("dl", { class: "run-values" });
  const element = h("div", { class: "run-progress" }, h("div", { class: "head" }, step, time), bar, values);
  const draw = (run) => {
    element.hidden = !run;
    if (!run) return;
    const running = run.status === "running";
    const name = capital(run.step || (running ? "running" : run.status));
    setText(step, run.pause === "paused" ? "Paused, with the source off" : run.pause ? `${name}, will pause` : name);
    const seconds = ((running ? Date.now() : run.ended_ns / 1e6) - run.started_ns / 1e6) / 1000;
    const known = typeof run.fraction === "number";
    setText(time, `${known ? `${Math.floor(run.fraction * 100)} %, ` : ""}${duration(Math.max(0, Math.round(seconds)))}`);
    bar.hidden = !known;
    fill.style.setProperty("transform", `scaleX(${known ? run.fraction : 0})`);
    if (known) bar.setAttribute("aria-valuenow", String(Math.floor(run.fraction * 100)));
    const said = Object.entries(run.values ?? {}).filter(([name]) => !SAID.has(name)).map(([name, value]) => [named(name).label, say(name, value)]).filter(([, text]) => text !== null);
    const text = JSON.stringify(said);
    if (values.dataset.said === text) return;
    values.dataset.said = text;
    replace(values, said.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", { class: "number" }, value))));
  };
  return { element, draw };
}
