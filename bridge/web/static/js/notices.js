// What nobody may overlook, whatever view is open: no connection, an old daemon, latched faults, a run that asks.

import { h, keyed, setText } from "./dom.js";
import { every, watch } from "./frame.js";
import { ago } from "./format.js";
import { CONTRACT } from "./lab.js";
import { address } from "./router.js";

export class Notices {
  constructor(root, lab, signal) {
    this.lab = lab;
    this._root = root;
    this._lost = h("div", { role: "alert" });
    this._others = h("div", { "aria-live": "polite" });
    root.replaceChildren(this._lost, this._others);
    watch(lab, ["status", "health", "runs"], () => this._draw(), signal);
    every(5, () => this._draw(), signal);
  }

  _draw() {
    const { lab } = this;
    const lost = lab.connection.state !== "connecting" && (lab.status || lab.connection.state === "lost") ? lab.doubt : "";
    document.documentElement.dataset.fresh = String(!lab.doubt);
    keyed(this._lost, lost ? [this._lostNotice(lost)] : [], (each) => each.key, make, update);
    keyed(this._others, [...this._faults(), ...this._questions(), ...this._contract()], (each) => each.key, make, update);
  }

  _lostNotice(why) {
    const seconds = (performance.now() - this.lab.connection.since) / 1000;
    const since = this.lab.connection.connected ? "" : ` Lost ${ago(seconds)}; it is being looked for.`;
    return {
      key: "lost", kind: "danger loud", headline: why.replace(/\.$/, ""),
      text: `What is shown is old, and nothing can be stopped from here. Use the instruments' own switches, or on the lab PC: picobridge emergency-stop.${since}`,
    };
  }

  _faults() {
    return (this.lab.health?.faults ?? []).map((fault) => ({
      key: `fault ${fault.id}`, kind: "danger", headline: "Fault latched", text: [fault.device, fault.text].filter(Boolean).join(": "),
      link: ["Look and acknowledge", address(this.lab.name, "faults")],
    }));
  }

  _questions() {
    return this.lab.running.filter((run) => run.question).map((run) => ({
      key: `question ${run.run} ${run.question.id}`, kind: "warning", headline: `${run.procedure} asks`, text: run.question.text,
      link: ["Answer", address(this.lab.name, "runs", run.run)],
    }));
  }

  _contract() {
    const theirs = this.lab.status?.contract;
    if (theirs === undefined || theirs === CONTRACT) return [];
    return [{ key: "contract", kind: "warning", headline: "Reload this page", text: `The daemon speaks version ${theirs} of the contract, this page ${CONTRACT}. Only a stop is sent until then.` }];
  }
}

function make(notice) {
  return h("div", { class: `notice ${notice.kind}` }, h("div", { class: "text" }, h("strong", {}), " ", h("span", {})),
    notice.link && h("a", { class: "button", href: notice.link[1] }, notice.link[0]));
}

function update(element, notice) {
  setText(element.querySelector("strong"), notice.headline);
  setText(element.querySelector(".text span"), notice.text);
}
