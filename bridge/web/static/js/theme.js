// Dark, light, or as the system has it. Event "change" when the colours are others.

import { h } from "./dom.js";

const KEY = "picobridge-theme";
const system = matchMedia("(prefers-color-scheme: light)");

class Theme extends EventTarget {
  _colours = new Map();

  /** "dark", "light" or "auto". */
  get choice() {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto";
    }
  }

  choose(choice) {
    try {
      if (choice === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // storage is switched off: the choice holds for this page
    }
    this.apply(choice);
  }

  apply(choice = this.choice) {
    this._colours.clear();
    const light = choice === "auto" ? system.matches : choice === "light";
    document.documentElement.dataset.theme = light ? "light" : "dark";
    this.dispatchEvent(new Event("change"));
  }

  /** A colour of css/tokens.css by its name. */
  colour(name) {
    if (!this._colours.has(name)) {
      this._colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
    }
    return this._colours.get(name);
  }
}

export const theme = new Theme();
system.addEventListener("change", () => theme.apply());

/** A switch with three places. */
export function themeSwitch() {
  const buttons = ["auto", "dark", "light"].map((choice) =>
    h("button", { type: "button", onclick: () => (theme.choose(choice), show(choice)) }, choice[0].toUpperCase() + choice.slice(1)),
  );
  const show = (chosen) => buttons.forEach((button) => button.setAttribute("aria-pressed", button.textContent.toLowerCase() === chosen));
  show(theme.choice);
  return h("div", { class: "segments", role: "group", "aria-label": "Colours" }, buttons);
}
