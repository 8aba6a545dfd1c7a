// The page of one noise test: verdict with its reason, numbers, four pictures, what it comes from.

import { h, replace, setText } from "../../dom.js";
import { duration, si } from "../../format.js";
import { Plot } from "../../plot.js";
import { allanPicture, histogramPicture, numbers, seriesPicture, spectrumPicture } from "./pictures.js";

const SIGNS = { pass: ["✓", "PASS"], fail: ["✕", "FAIL"], inconclusive: ["?", "INCONCLUSIVE"] };

export class NoiseReport {
  constructor() {
    this.verdict = h("div", { class: "result-verdict" });
    this.rows = h("dl", { class: "facts number" });
    this.advice = h("div", { class: "stack" });
    this.plots = {
      series: new Plot("Averages in time"),
      histogram: new Plot("Distribution"),
      spectrum: new Plot("Spectrum"),
      allan: new Plot("Allan deviation"),
    };
    this.heading = h("h2");
    this.element = h(
      "article",
      { class: "noise-report stack" },
      h("section", { class: "panel stack" }, this.heading, this.verdict, this.rows),
      h("section", { class: "panel plots" }, Object.values(this.plots).map((plot) => plot.element)),
      this.advice,
    );
  }

  /** `r` is the result, or its statistics so far with `elapsed_s`. */
  show(r) {
    const preliminary = r.verdict === undefined;
    const route = r.route ? ` through ${r.route}` : "";
    setText(this.heading, `Noise test at ${si(r.set_current_a, "A")} ± ${si(r.tolerance_a, "A")}${route}`);
    this.element.dataset.verdict = preliminary ? "preliminary" : r.verdict;
    replace(this.verdict, preliminary ? soFar(r) : verdict(r));
    replace(this.rows, numbers(r).map(([what, text]) => [h("dt", {}, what), h("dd", {}, text)]));
    this.plots.series.show(seriesPicture(r));
    this.plots.histogram.show(histogramPicture(r));
    this.plots.spectrum.show(spectrumPicture(r));
    this.plots.allan.show(allanPicture(r));
    replace(this.advice, advice(r.advice ?? []));
  }
}

function soFar(r) {
  const left = Math.max(0, r.settle_s + r.duration_s - r.elapsed_s);
  return [
    h("p", { class: "verdict-word preliminary" }, h("span", { "aria-hidden": "true" }, "…"), " PRELIMINARY"),
    h("p", {}, `${r.n} averages so far, ${duration(Math.round(left))} to go. The verdict is the whole record's only.`),
  ];
}

function verdict(r) {
  const [sign, word] = SIGNS[r.verdict] ?? ["?", String(r.verdict)];
  return [
    h("p", { class: `verdict-word ${r.verdict}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`),
    h("p", {}, r.reason),
    h("p", { class: "muted small" }, `The rule: ${r.rule}`),
  ];
}

function advice(list) {
  if (!list.length) return null;
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "What it comes from"),
    h("ul", { class: "rows" }, list.map(({ cause, evidence, action }) => h("li", {}, h("strong", {}, cause), h("p", {}, evidence), h("p", { class: "muted" }, action)))),
  );
}
