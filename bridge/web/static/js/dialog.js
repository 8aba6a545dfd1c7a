// A question to the reader before something that cannot be taken back. It covers the view, never the stop.

import { h } from "./dom.js";

/** Whether the reader said yes. `danger` marks the yes; the focus is on the no. Left with `signal`, the answer is no. */
export function confirm({ title, text, yes, no = "Cancel", danger = false, signal }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const end = (answer) => {
      veil.remove();
      before?.focus?.();
      resolve(answer);
    };
    const refuse = h("button", { type: "button", class: "button", onclick: () => end(false) }, no);
    const accept = h("button", { type: "button", class: `button ${danger ? "danger" : "primary"}`, onclick: () => end(true) }, yes);
    const box = h("div", { class: "dialog", role: "alertdialog", "aria-label": title, "aria-modal": "false" }, h("h2", {}, title), h("p", {}, text), h("div", { class: "buttons" }, refuse, accept));
    const veil = h("div", { class: "veil" }, box);
    veil.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end(false);
    });
    signal?.addEventListener("abort", () => veil.isConnected && end(false));
    document.querySelector(".page").append(veil);
    refuse.focus();
  });
}
