// The page of one spectrum: Nyquist and Bode as the points come; with the result what may be believed of it, and the fit.

import { h, replace, setText } from "../../dom.js";
import { si } from "../../format.js";
import { Plot } from "../../plot.js";
import { modulusPicture, nyquistPicture, parameters, phasePicture, residualPicture, spectraOf, spectraOfPoints, validity } from "./pictures.js";

const SIGNS = { pass: "✓", fail: "✕", doubtful: "?", inconclusive: "?" };
const PILLS = { pass: "ok", fail: "danger" };

export class ImpedanceReport {
  constructor() {
    this.heading = h("h2");
    this.verdict = h("div", { class: "result-verdict" });
    this.plots = {
      nyquist: new Plot("Nyquist, equal axes", { height: 420 }),
      modulus: new Plot("Modulus", { height: 230 }),
      phase: new Plot("Phase", { height: 230 }),
      residuals: new Plot("Kramers-Kronig residuals", { height: 230 }),
    };
    this.marks = h("ul", { class: "marks rows" });
    this.fit = h("dl", { class: "facts number" });
    this.fitPanel = h("section", { class: "panel" }, h("h2", {}, "Circuit"), this.fit);
    this.marksPanel = h("section", { class: "panel" }, h("h2", {}, "May it be believed?"), this.marks);
    this.element = h(
      "article",
      { class: "impedance-report stack" },
      h("section", { class: "panel stack" }, this.heading, this.verdict),
      h(
        "section",
        { class: "panel stack" },
        this.plots.nyquist.element,
        h("div", { class: "plots three" }, this.plots.modulus.element, this.plots.phase.element, this.plots.residuals.element),
      ),
      h("div", { class: "beside" }, this.marksPanel, this.fitPanel),
    );
  }

  /** Points that have come so far; `header` is what the run says of them, with `going` false if no more will come. */
  showPoints(points, header = {}) {
    const of = header.points ? ` of ${header.points}` : "";
    setText(this.heading, "Impedance");
    const here = points.filter((point) => !header.step || point.step === header.step).length;
    const what = "Points are as measured; the result of the procedure impedance says what may be believed.";
    replace(
      this.verdict,
      header.going === false ? null : h("p", { class: "verdict-word preliminary" }, h("span", { "aria-hidden": "true" }, "…"), " MEASURING"),
      h("p", {}, `${header.step ?? "spectrum"}: ${here}${of} points. ${what}`),
    );
    this.element.dataset.verdict = "preliminary";
    this._draw(spectraOfPoints(points), null);
  }

  showResult(r) {
    const how = r.mode ? ` by the ${r.mode}` : "";
    setText(this.heading, `Impedance${how}${r.amplitude_v ? `, ${si(r.amplitude_v, "V")} rms` : ""}`);
    replace(
      this.verdict,
      h("p", { class: `verdict-word ${r.verdict}` }, h("span", { "aria-hidden": "true" }, SIGNS[r.verdict] ?? "?"), ` ${String(r.verdict).toUpperCase()}`),
      h("p", {}, r.reason),
    );
    this.element.dataset.verdict = r.verdict;
    this._draw(spectraOf(r), r);
  }

  _draw(spectra, r) {
    this.plots.nyquist.show(nyquistPicture(spectra));
    this.plots.modulus.show(modulusPicture(spectra, r));
    this.plots.phase.show(phasePicture(spectra, r));
    const residuals = residualPicture(r);
    this.plots.residuals.element.hidden = residuals === null;
    if (residuals) this.plots.residuals.show(residuals);
    const rows = r ? validity(r) : [];
    this.marksPanel.hidden = !rows.length;
    replace(this.marks, rows.map(([what, verdict, text]) => mark(what, verdict, text)));
    this.fitPanel.hidden = !r || (!r.fit && !r.fit_reason);
    const told = r ? parameters(r).map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]) : [];
    const notes = [r?.fit?.circuit ? ["As", r.fit.circuit] : null, r?.fit_reason ? ["Note", r.fit_reason] : null, ...(r?.fit?.warnings ?? []).map((text) => ["Note", text])];
    replace(this.fit, told, notes.filter(Boolean).map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
  }
}

function mark(what, verdict, text) {
  const word = { pass: "holds", fail: "does not hold", unknown: "not known" }[verdict] ?? "in doubt";
  return h(
    "li",
    { "data-mark": what, "data-verdict": verdict },
    h("span", { class: `pill ${PILLS[verdict] ?? "warning"}` }, `${what}: ${word}`),
    h("p", {}, text),
  );
}
