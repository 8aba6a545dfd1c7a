// The noise test: live while it goes, and the results of earlier ones.

import { h, replace } from "../dom.js";
import { Items } from "../items.js";
import { Chooser, sayRun } from "./choosing.js";
import { NoiseReport } from "./noise/report.js";

const NOTHING = "No noise test has been run yet. It is the first thing to do before cycling at picoamperes: a constant current through a route, judged by its averages.";

export const noise = {
  id: "noise",
  title: "Noise test",
  mount(root, context) {
    const { lab, signal, watch } = context;
    const chooser = new Chooser((run) => run.procedure === "noise-test", context, noise.id);
    const report = new NoiseReport();
    const place = h("div", { class: "stack" });
    root.append(h("div", { class: "title" }, h("h1", {}, "Noise test"), h("span", { class: "spread" }), chooser.element), place);
    let [followed, header] = [null, null];
    let shown = null;
    const draw = () => {
      chooser.draw();
      const name = chooser.chosen;
      if (name && followed !== name) {
        [followed, header] = [name, null];
        new Items(lab, name, (told) => told && ((header = told), draw()), signal);
      }
      const result = lab.results.get(name)?.result;
      const what = result ?? (header?.kind === "noise-test" ? header : null);
      if (!what) return replace(place, h("p", { class: "empty" }, sayRun(lab.runs.get(name), NOTHING)));
      if (what === shown && report.element.isConnected) return;
      shown = what;
      if (!report.element.isConnected) replace(place, report.element);
      report.show(what);
    };
    watch(lab, ["runs", "status"], draw);
  },
};
