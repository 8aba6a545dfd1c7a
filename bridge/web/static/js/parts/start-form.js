// The form of one procedure: which devices play which role, and its parameters.

import { confirm } from "../dialog.js";
import { h, replace, setText } from "../dom.js";
import { Form } from "../form.js";
import { named } from "../named.js";

/** Parameters shown at once; the others, which all have defaults, are one press away. */
const SHOWN = 8;

export function startForm(root, procedure, { lab, link, go, signal, watch }) {
  const form = new Form(procedure.parameters);
  const roles = Object.entries(procedure.roles).map(([role, wanted]) => roleField(role, wanted, lab));
  const said = h("p", { class: "error", role: "alert" });
  const hint = h("p", { class: "muted small" });
  const why = h("p", { class: "muted", role: "status" });
  const button = h("button", { type: "submit", class: "button primary" }, "Start");
  const first = form.fields.filter((field) => field.description.required);
  const rest = form.fields.filter((field) => !field.description.required);
  const early = [...first, ...rest.slice(0, Math.max(0, SHOWN - first.length))];
  const late = form.fields.filter((field) => !early.includes(field));
  const more = late.length > 0 && h("details", { class: "more" }, h("summary", {}, `${late.length} more, all with a default`), h("div", { class: "fields" }, late.map(({ element }) => element)));
  root.append(
    h("p", { class: "small" }, h("a", { href: link("start") }, "All experiments")),
    h("div", {}, h("h1", {}, named(procedure.name).label), h("p", { class: "muted" }, sentence(procedure.summary))),
    h("form", { class: "stack start-form", novalidate: true, onsubmit: (event) => (event.preventDefault(), submit()) },
      roles.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Devices"), h("div", { class: "fields" }, roles.map(({ element }) => element))),
      form.fields.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Parameters"), h("div", { class: "fields" }, early.map(({ element }) => element)), more),
      said, hint, why, h("div", { class: "buttons" }, button)),
  );
  watch(lab, ["status", "device"], () => {
    const reason = lab.whyNot("run");
    button.hidden = Boolean(reason) && !lab.doubt;
    button.disabled = Boolean(reason);
    setText(why, reason);
    for (const role of roles) role.update();
  });

  /** A field that is not right must be seen. */
  function unfold() {
    if (more && more.querySelector(".bad")) more.open = true;
  }

  async function submit() {
    setText(said, "");
    setText(hint, "");
    const bad = roles.map((role) => role.check()).filter(Boolean);
    if (!form.check() || bad.length) {
      unfold();
      return;
    }
    const devices = Object.fromEntries(roles.map(({ role, value }) => [role, value()]).filter(([, value]) => value?.length));
    const question = { title: `Start ${named(procedure.name).label}?`, text: `It uses ${Object.values(devices).flat().join(", ") || "no device"}. Nothing starts that the interlocks forbid.`, yes: "Start", signal };
    if (!(await confirm(question))) return;
    button.disabled = true;
    try {
      const { run } = await lab.ask("run", { procedure: procedure.name, parameters: form.values, devices });
      go("runs", run);
    } catch (error) {
      form.complain(error.message);
      unfold();
      setText(said, error.message);
      setText(hint, error.hint ?? "");
    } finally {
      button.disabled = Boolean(lab.whyNot("run"));
    }
  }
}

function sentence(text) {
  return text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "";
}

/** Which device plays a role: a choice, or several of them. */
function roleField(role, { interface: kind, required, several }, lab) {
  const error = h("p", { class: "error" });
  const label = named(role).label;
  const place = h("div", { class: several ? "checks" : "" });
  const element = h(several ? "fieldset" : "label", { class: "field role" }, h(several ? "legend" : "span", { class: "label" }, label, !required && h("span", { class: "muted" }, " (if there is one)")), place, error);
  let known = [];
  const names = () => lab.ofInterface(kind).map((device) => device.name);
  const update = () => {
    const now = names();
    if (now.join() === known.join()) return;
    const before = known.length ? [value()].flat() : null; // what was chosen stays chosen; only a new device is ticked by itself
    const ticked = (name) => !before || before.includes(name) || !known.includes(name);
    const first = before ? before.find((name) => now.includes(name)) ?? "" : now[0];
    replace(place, several ? now.map((name) => h("label", { class: "check" }, h("input", { type: "checkbox", value: name, checked: ticked(name) }), name)) : choice(now, first));
    known = now;
  };
  const choice = (now, chosen) => h("select", { class: "input" }, (!required || !chosen) && h("option", { value: "" }, "none"), now.map((name) => h("option", { value: name, selected: name === chosen }, name)));
  const value = () => (several ? [...place.querySelectorAll("input:checked")].map((input) => input.value) : (place.querySelector("select")?.value ?? ""));
  const check = () => {
    const missing = required && !value().length;
    setText(error, missing ? (names().length ? `${label} is needed` : `There is no ${kind} on this bridge`) : "");
    return missing;
  };
  update();
  return { role, element, value, check, update };
}
