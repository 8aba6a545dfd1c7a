// Which run a view is about: the one in its address, else the newest of its procedures, and a list to choose another from.

import { h, replace } from "../dom.js";
import { fromNs, shortTime } from "../time.js";

/** A chooser that goes to a run's own address. `belongs(run)` says which runs count; `id` is the view's. */
export class Chooser {
  constructor(belongs, context, id) {
    this._belongs = belongs;
    this._context = context;
    this.select = h("select", { class: "input", "aria-label": "Run", onchange: (event) => context.go(id, event.target.value) });
    this.element = h("div", { class: "chooser" }, this.select);
    this._shown = "";
  }

  /** The run that the view is about; undefined while there is none. */
  get chosen() {
    return this._context.path[0] ?? this._runs()[0]?.run;
  }

  /** The newest first. A result without its state counts too. */
  _runs() {
    const { lab } = this._context;
    const known = new Map([...lab.results, ...lab.runs]);
    return [...known.values()].filter(this._belongs).sort((a, b) => b.started_ns - a.started_ns);
  }

  draw() {
    const runs = this._runs();
    const options = runs.map((run) => [run.run, `${shortTime(fromNs(run.started_ns))}, ${words(run, this._context.lab)}`]);
    const chosen = this.chosen;
    if (chosen && !runs.some((run) => run.run === chosen)) options.unshift([chosen, `${chosen}, not known here`]);
    const key = JSON.stringify([options, chosen]);
    this.element.hidden = !options.length;
    if (key === this._shown) return;
    this._shown = key;
    replace(this.select, options.map(([value, text]) => h("option", { value }, text)));
    this.select.value = chosen ?? "";
  }
}

function words(run, lab) {
  const verdict = lab.results.get(run.run)?.result?.verdict;
  return run.status === "finished" && verdict ? `${run.run}: ${verdict}` : `${run.run}: ${run.status}`;
}

/** What is to be said of a run that has no result and shows nothing yet. */
export function sayRun(run, nothing) {
  if (!run) return nothing;
  if (run.status === "running") return `${run.procedure} is under way: ${run.step || "beginning"}. There is nothing to draw yet.`;
  const why = run.error?.message ? `: ${run.error.message}` : "";
  return `Run ${run.run} is ${run.status}${why}`;
}
