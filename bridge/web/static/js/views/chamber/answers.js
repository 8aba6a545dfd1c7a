// Three plain answers: yes or no, and if no, which rule, why, and what would satisfy it.

import { h } from "../../dom.js";

const WORDS = { yes: ["✓", "Yes"], no: ["✕", "No"], unknown: ["?", "Not known"], none: ["–", "Does not apply"] };

export function drawAnswer(answer) {
  const [sign, word] = WORDS[answer.verdict];
  return h(
    "section",
    { class: `answer ${answer.verdict}`, "data-question": answer.key, "data-verdict": answer.verdict, "aria-label": answer.text },
    h("h3", {}, answer.text),
    h("p", { class: "verdict" }, h("span", { class: "sign", "aria-hidden": "true" }, sign), word),
    answer.notes.map((note) => h("p", { class: "muted" }, note)),
    answer.reasons.length
      ? h("ul", { class: "reasons" }, answer.reasons.map((reason) => drawReason(reason, answer.devices.length > 1)))
      : null,
  );
}

function drawReason({ device, rule, text, why, needs }, several) {
  return h(
    "li",
    { "data-rule": rule, "data-device": device },
    h("p", { class: "rule" }, h("strong", {}, several ? `${rule} (${device})` : rule), text ? `: ${text}` : ""),
    h("dl", {}, h("dt", {}, "Why"), h("dd", {}, why), h("dt", {}, "Needed"), h("dd", {}, needs)),
  );
}
