// Three plain answers: yes or no, and if no, which rule, why, and what would satisfy it.

import { h } from "../../dom.js";

/** Nobody can state anything. */
const NOBODY = { whyNot: "", state: null };

const WORDS = { yes: ["✓", "Yes"], no: ["✕", "No"], unknown: ["?", "Not known"], none: ["–", "Does not apply"] };

/** `person` is {state(statement), whyNot}: what happens when somebody states what was seen, or why this one may not. */
export function drawAnswer(answer, person = NOBODY) {
  const [sign, word] = WORDS[answer.verdict];
  return h(
    "section",
    { class: `answer ${answer.verdict}`, "data-question": answer.key, "data-verdict": answer.verdict, "aria-label": answer.text },
    h("h3", {}, answer.text),
    h("p", { class: "verdict" }, h("span", { class: "sign", "aria-hidden": "true" }, sign), word),
    answer.notes.map((note) => h("p", { class: "muted" }, note)),
    answer.reasons.length
      ? h("ul", { class: "reasons" }, answer.reasons.map((reason) => drawReason(reason, answer.devices.length > 1, person)))
      : null,
  );
}

function drawReason({ device, rule, text, why, needs, statements }, several, person) {
  return h(
    "li",
    { "data-rule": rule, "data-device": device },
    h("p", { class: "rule" }, h("strong", {}, several ? `${rule} (${device})` : rule), text ? `: ${text}` : ""),
    h("dl", {}, h("dt", {}, "Why"), h("dd", {}, why), h("dt", {}, "Needed"), h("dd", {}, needs)),
    person.state ? statements.map((statement) => drawStatement(statement, person)) : null,
  );
}

function drawStatement(statement, { state, whyNot }) {
  if (whyNot) return h("p", { class: "muted small" }, `Somebody who may can state that ${statement.words}. ${whyNot}`);
  const press = () => state(statement);
  return h("button", { type: "button", class: "button statement", "data-input": statement.input, onclick: press }, `I have seen that ${statement.words}`);
}
