// Fields out of a description, as procedures and questions give it: units, limits, defaults. What is typed is checked here
// first, in the words of the daemon: field, value, what is accepted. The daemon has the last word.

import { h, setClass, setText } from "./dom.js";
import { exampleOf, parse } from "./units.js";
import { named, typed } from "./named.js";
import { si } from "./format.js";

let count = 0;

export class Field {
  /** `description` as in docs/mqtt.md: name, help, unit, type, required, default, at_least, above, at_most, choices, file. */
  constructor(description) {
    this.description = description;
    this.name = description.name;
    this.label = named(description.name).label;
    this._file = null;
    const id = `field-${++count}`;
    this.input = this._input(id);
    this._error = h("p", { class: "error", id: `${id}-error` });
    const help = h("p", { class: "help", id: `${id}-help` }, this._help());
    this.input.setAttribute("aria-describedby", `${id}-help ${id}-error`);
    const label = h("label", { for: id }, this.label, description.required && h("span", { class: "muted" }, " (needed)"));
    this.element = description.type === "boolean"
      ? h("div", { class: "field" }, h("label", { class: "check" }, this.input, this.label), help, this._error)
      : h("div", { class: "field" }, label, this.input, help, this._error);
    // told when it is sent, taken back while it is mended: nothing moves under a finger that is on its way to a button
    this.input.addEventListener("input", () => this.element.classList.contains("bad") && this.check());
  }

  /** "" if the value will do as far as can be told here, or what is wrong with it. Shown at the field. */
  check() {
    const error = this._wrong();
    this.complain(error);
    return error;
  }

  complain(error) {
    setText(this._error, error);
    setClass(this.element, "bad", error);
    this.input.setAttribute("aria-invalid", String(Boolean(error)));
  }

  /** What goes into the request; undefined where the default holds. */
  get value() {
    const { type, default: usual, unit } = this.description;
    if (this._file !== null) return this._file;
    if (type === "boolean") return this.input.checked === Boolean(usual) ? undefined : this.input.checked;
    const text = this.input.value.trim();
    if (text === typed(usual, unit)) return undefined;
    if (text === "") return usual === null || usual === undefined ? undefined : null;
    if (type === "integer" && /^[+-]?\d+$/.test(text)) return Number(text);
    return unit || type === "text" ? text.replaceAll("−", "-") : numberOf(text);
  }

  _input(id) {
    const { type, choices, default: usual, unit, file } = this.description;
    if (type === "boolean") return h("input", { id, type: "checkbox", checked: Boolean(usual) });
    if (file) return h("input", { id, type: "file", class: "input", onchange: (event) => this._read(event.target.files[0]) });
    if (choices) {
      const select = h("select", { id, class: "input" }, usual === null && h("option", { value: "" }, "–"), choices.map((each) => h("option", { value: each }, String(each))));
      select.value = String(usual ?? (this.description.required ? choices[0] : ""));
      return select;
    }
    return h("input", {
      id, class: "input", type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off",
      inputmode: type === "integer" ? "numeric" : null, placeholder: unit && unit !== "1" ? exampleOf(unit) : "", value: typed(usual, unit),
    });
  }

  async _read(file) {
    this._file = file ? await file.text() : null;
    this.check();
  }

  _help() {
    const { help } = this.description;
    const limits = this._limits();
    return [help ? help[0].toUpperCase() + help.slice(1) : "", limits].filter(Boolean).join(help ? "; " : "");
  }

  _limits() {
    const { unit, above, at_least: least, at_most: most } = this.description;
    const said = (value) => (unit && unit !== "1" ? si(value, unit, 6) : String(value));
    const words = [];
    if (above !== undefined) words.push(`more than ${said(above)}`);
    if (least !== undefined) words.push(`at least ${said(least)}`);
    if (most !== undefined) words.push(`at most ${said(most)}`);
    return words.join(", ");
  }

  _wrong() {
    const { type, required, unit, file } = this.description;
    if (type === "boolean") return "";
    const text = file ? (this._file ?? "") : this.input.value.trim();
    if (!text) return required ? `${this.label} is needed${unit && unit !== "1" ? `: such as ${exampleOf(unit)}` : ""}` : "";
    if (file || type === "text") return "";
    if (type === "integer" && !/^[+-]?\d+$/.test(text)) return `${this.label} is “${text}”; accepted: a whole number`;
    const { value, error } = unit ? parse(text, unit) : { value: numberOf(text) };
    if (error) return `${this.label}: ${error}`;
    if (value === undefined) return "";
    if (typeof value !== "number" || Number.isNaN(value)) return `${this.label} is “${text}”; accepted: a number`;
    return this._beyond(value, text);
  }

  _beyond(value, text) {
    const { above, at_least: least, at_most: most } = this.description;
    const fits = (above === undefined || value > above) && (least === undefined || value >= least) && (most === undefined || value <= most);
    return fits ? "" : `${this.label} is ${text}; accepted: ${this._limits()}`;
  }
}

/** The fields of a form together. */
export class Form {
  constructor(descriptions) {
    this.fields = descriptions.map((each) => new Field(each));
  }

  /** Whether all will do; the first that does not is brought into view. */
  check() {
    const bad = this.fields.filter((field) => field.check());
    bad[0]?.input.focus();
    return bad.length === 0;
  }

  get values() {
    return Object.fromEntries(this.fields.map((field) => [field.name, field.value]).filter(([, value]) => value !== undefined));
  }

  /** Show a refusal of the daemon at the field that it names. False if it names none. */
  complain(message) {
    const field = this.fields.filter(({ name }) => new RegExp(`\\b${name}\\b`).test(message)).sort((a, b) => b.name.length - a.name.length)[0];
    field?.complain(message);
    field?.input.focus();
    return Boolean(field);
  }
}

function numberOf(text) {
  const number = Number(text.replaceAll("−", "-"));
  return Number.isFinite(number) ? number : text;
}
