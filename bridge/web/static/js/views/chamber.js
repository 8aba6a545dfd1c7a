// The chamber as it is now, and what may be done in it.

import { confirm } from "../dialog.js";
import { h, replace, setText } from "../dom.js";
import { drawAnswer } from "./chamber/answers.js";
import { drawChamber } from "./chamber/drawing.js";
import { answersOf, chamberOf } from "./chamber/state.js";
import { facts } from "./chamber/words.js";

const EVERY_MS = 1000;
/** An answer that is older than this says nothing about now. */
const OLD_MS = 5000;
const STATED_MIN = 10;

export const chamber = {
  id: "chamber",
  title: "Chamber",
  mount(root, context) {
    new Chamber(root, context);
  },
};

class Chamber {
  constructor(root, { lab, signal, watch }) {
    this._lab = lab;
    this._signal = signal;
    this._outlook = null;
    this._heardAt = 0;
    this._failed = "";
    this._said = "";
    this._answersShown = "";
    this._factsShown = "";
    this._doubt = h("p", { class: "notice danger", role: "status", hidden: true });
    this._drawing = h("div", { class: "chamber-picture" });
    this._facts = h("dl", { class: "facts number" });
    this._answers = h("div", { class: "answers" });
    root.append(
      h("h1", { class: "title" }, "Chamber"),
      this._doubt,
      h(
        "div",
        { class: "chamber-parts" },
        h("section", { class: "panel", "aria-label": "Drawing" }, this._drawing),
        h("section", { class: "panel", "aria-label": "What is known" }, h("h2", {}, "What is known"), this._facts),
      ),
      this._answers,
    );
    watch(lab, ["status", "device", "health"], () => this._draw());
    const timer = setInterval(() => this._tick(), EVERY_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    document.addEventListener("visibilitychange", () => this._tick(), { signal });
    this._tick();
  }

  async _tick() {
    this._draw();
    if (this._asking || document.hidden || this._lab.doubt) return;
    this._asking = true;
    try {
      this._outlook = await this._lab.ask("outlook", {}, { patience: 4 });
      this._heardAt = performance.now();
      this._failed = "";
    } catch (error) {
      this._failed = error.message;
    } finally {
      this._asking = false;
    }
    if (!this._signal.aborted) this._draw();
  }

  /** What a person has seen where a device cannot tell: for ten minutes, and with the name in the audit. */
  async _state({ input, value, words }) {
    const text = `You say that you have looked, and that ${words}. The interlocks will go by it for ${STATED_MIN} minutes; your name is kept.`;
    const sure = await confirm({ title: `Have you seen that ${words}?`, text, yes: "I have seen it", danger: true, signal: this._signal });
    if (!sure) return;
    try {
      await this._lab.ask("state", { input, value, for: 60 * STATED_MIN });
      this._said = "";
    } catch (error) {
      this._said = `It was not taken: ${error.message}`;
    }
    this._tick();
  }

  /** Why what is drawn may not be so; "" if it is. */
  get doubt() {
    if (this._lab.doubt) return this._lab.doubt;
    if (!this._outlook) return this._failed;
    const old = performance.now() - this._heardAt;
    if (old < OLD_MS) return "";
    return `The daemon has not said for ${Math.round(old / 1000)} s what may be done${this._failed ? `: ${this._failed}` : "."}`;
  }

  _draw() {
    const { doubt } = this;
    const devices = [...this._lab.devices.values()];
    const known = chamberOf(devices, this._outlook, doubt);
    setText(this._doubt, [doubt ? `What is drawn may not be so. ${doubt}` : "", this._said].filter(Boolean).join(" "));
    this._doubt.hidden = !this._doubt.textContent;
    replace(this._drawing, drawChamber(known));
    const rows = facts(known);
    if (this._factsShown !== (this._factsShown = JSON.stringify(rows))) {
      replace(this._facts, rows.map(([what, text, sure]) => [h("dt", {}, what), h("dd", { class: sure ? "" : "doubt", "data-fact": what }, text)]));
    }
    const answers = answersOf(devices, this._outlook, doubt);
    // what is drawn anew cannot be marked and copied: an age alone is no reason
    const said = JSON.stringify([answers, this._lab.whyNot("state")]).replaceAll(/ \([\d.e-]+ s old\)/g, "");
    if (this._answersShown !== (this._answersShown = said)) {
      const person = { state: (statement) => this._state(statement), whyNot: this._lab.whyNot("state") };
      replace(this._answers, answers.map((answer) => drawAnswer(answer, person)));
    }
  }
}
