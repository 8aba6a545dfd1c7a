// Latched faults, which forbid until a person has looked and acknowledged; and what else needs a look.

import { confirm } from "../dialog.js";
import { h, keyed, replace, setText } from "../dom.js";
import { dateTime, fromNs } from "../time.js";

export const faults = {
  id: "faults",
  title: "Faults",
  badge: (lab) => (lab.health?.faults?.length ? { text: lab.health.faults.length, kind: "danger" } : lab.health?.status === "degraded" ? { text: "!", kind: "warning" } : null),
  mount(root, context) {
    const { lab, watch } = context;
    const list = h("div", { class: "stack", "aria-live": "polite" });
    const none = h("p", { class: "empty" });
    const reasons = h("ul", { class: "rows" });
    const reasonPanel = h("section", { class: "panel" }, h("h2", {}, "What needs a look"), reasons);
    const notices = h("ul", { class: "rows" });
    const noticePanel = h("section", { class: "panel" }, h("h2", {}, "Protections that are switched off"), notices);
    root.append(h("div", { class: "title" }, h("h1", {}, "Faults")), h("div", { class: "stack" }, none, list, reasonPanel, noticePanel));
    watch(lab, ["health", "status"], () => {
      const { faults: open = [], reasons: why = [], notices: off = [], overrides = [] } = lab.health ?? {};
      none.hidden = open.length > 0;
      setText(none, lab.doubt || (lab.health ? "No fault is latched. Nothing waits for an acknowledgement." : "Not heard yet."));
      keyed(list, open, (fault) => `${fault.id} ${fault.ticket} ${fault.count} ${lab.whyNot("acknowledge")}`, (fault) => faultPanel(fault, context));
      const latched = new Set(open.map((fault) => fault.text));
      const others = why.filter((reason) => ![...latched].some((text) => reason.includes(text)));
      reasonPanel.hidden = others.length === 0;
      replace(reasons, others.map((reason) => h("li", {}, reason)));
      noticePanel.hidden = off.length + overrides.length === 0;
      replace(notices, off.map((text) => h("li", {}, text)), overrides.map(({ rule, by, reason }) => h("li", {}, `The rule ${rule} is set aside by ${by}: ${reason}`)));
    });
  },
};

function faultPanel(fault, { lab, signal }) {
  const said = h("p", { class: "error", role: "alert" });
  const why = lab.whyNot("acknowledge");
  const button = h("button", { type: "button", class: "button primary", disabled: !fault.cause_gone, onclick: acknowledge }, "Acknowledge");
  async function acknowledge() {
    const question = { title: "Acknowledge this fault?", text: "You have looked at the instruments, and they are as they should be. Nothing starts again by itself.", yes: "Acknowledge", signal };
    if (!(await confirm(question))) return;
    button.disabled = true;
    try {
      await lab.ask("acknowledge", { fault: fault.id, ticket: fault.ticket });
    } catch (error) {
      setText(said, [error.message, error.hint].filter(Boolean).join(" "));
      button.disabled = false;
    }
  }
  return h("article", { class: "panel fault", "aria-label": `Fault ${fault.id}` },
    h("div", { class: "head" }, h("h2", {}, fault.text), h("span", { class: "pill danger" }, `Fault ${fault.id}`)),
    h("dl", { class: "facts" },
      fault.device && [h("dt", {}, "Device"), h("dd", {}, fault.device)],
      h("dt", {}, "Since"), h("dd", {}, dateTime(fromNs(fault.raised_ns)), fault.count > 1 && `, ${fault.count} times`),
      h("dt", {}, "Cause"), h("dd", {}, fault.cause_gone ? "gone" : "still there: it cannot be acknowledged yet"),
      fault.hint && [h("dt", {}, "What to do"), h("dd", {}, fault.hint)]),
    said, why ? h("p", { class: "muted" }, why) : h("div", { class: "buttons" }, button));
}
