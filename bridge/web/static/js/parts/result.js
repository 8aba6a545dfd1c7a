// What a procedure gave back, in words: the values that its description names, each with its line of help.

import { h, replace } from "../dom.js";
import { named, say } from "../named.js";

/** In `root`; call the function that comes back with the run and its result. */
export function resultPanel(root, { lab }) {
  let shown = null;
  return (run, result) => {
    if (result === shown) return;
    shown = result;
    if (!result) return;
    const hint = result.error?.hint;
    replace(root, hint && h("p", { class: "muted" }, hint), result.health?.length > 0 && findings(result.health));
    const own = result.result;
    if (!own || typeof own !== "object") return;
    const panel = h("section", { class: "panel" }, h("h2", {}, "Result"));
    root.append(panel);
    lab.procedures().catch(() => []).then((all) => {
      const produces = all.find((each) => each.name === run.procedure)?.produces ?? {};
      const table = rows(own, produces);
      const notes = (Array.isArray(own.notes) ? own.notes : []).filter((note) => typeof note === "string");
      panel.append(...[table.length ? h("dl", { class: "facts result" }, table) : h("p", { class: "muted" }, "Nothing that is a number or a word: the report has it all."),
        notes.length > 0 && h("ul", { class: "notes small" }, notes.map((note) => h("li", {}, note)))].filter(Boolean));
    });
  };
}

function rows(own, produces) {
  const names = Object.keys(produces).filter((name) => name in own);
  const wanted = names.length ? names : Object.keys(own);
  return wanted.filter((name) => !["verdict", "reason", "procedure", "notes"].includes(name))
    .map((name) => [named(name).label, say(name, own[name]), produces[name] ?? ""])
    .filter(([, value]) => value)
    .flatMap(([label, value, help]) => [h("dt", {}, label), h("dd", {}, h("strong", { class: "number" }, value), help && h("span", { class: "muted small" }, ` ${help}`))]);
}

function findings(health) {
  return h("section", { class: "panel" }, h("h2", {}, "What the health watch found"),
    h("ul", { class: "rows" }, health.slice(-20).map((finding) => h("li", {}, `${finding.device}: ${finding.text}`))));
}
