// What can be done with a run: pause, go on, abort, resume. What would be refused is not offered, and why is said.

import { confirm } from "../dialog.js";
import { h, replace, setText } from "../dom.js";

const ABORTED = "The source is switched off, and what was measured is kept. A run that can be gone on with can be resumed later.";

/** Buttons for a run, in `root`. Call the function that comes back with each new state of it. */
export function runActions(root, { lab, go, signal }) {
  const buttons = h("div", { class: "buttons" });
  const said = h("p", { class: "small action-said", role: "status" });
  root.append(buttons, said);
  let shown = "";
  return (run) => {
    const offered = actionsFor(run);
    const key = JSON.stringify([run?.run, offered.map(({ method }) => [method, lab.whyNot(method)])]);
    if (key === shown) return;
    shown = key;
    const refused = offered.map(({ method }) => lab.whyNot(method)).find(Boolean) ?? "";
    setText(said, lab.doubt ? "" : refused);
    replace(buttons, refused ? [] : offered.map((action) => button(action, run)));
  };

  function button(action, run) {
    return h("button", { type: "button", class: `button ${action.kind ?? ""}`, onclick: (event) => act(action, run, event.currentTarget) }, action.label);
  }

  async function act({ method, label, question }, run, pressed) {
    if (question && !(await confirm({ ...question, yes: label, signal }))) return;
    pressed.disabled = true;
    setText(said, "");
    try {
      const answer = await lab.ask(method, { run: run.run }, { patience: 60 });
      if (method === "resume") go("runs", answer.run);
    } catch (error) {
      setText(said, [error.message, error.hint].filter(Boolean).join(" "));
    } finally {
      pressed.disabled = false;
    }
  }
}

function actionsFor(run) {
  if (!run) return [];
  if (run.status !== "running") {
    const question = { title: "Go on with this run?", text: "A new run begins with the same parameters and devices, where this one was. The source is switched on again." };
    return run.resumable ? [{ method: "resume", label: "Resume", kind: "primary", question }] : [];
  }
  const abort = { method: "abort", label: "Abort", kind: "danger", question: { title: `Abort ${run.procedure}?`, text: ABORTED, danger: true, no: "Let it run" } };
  if (run.pause) return [{ method: "continue", label: "Continue", kind: "primary" }, abort];
  return run.pausable ? [{ method: "pause", label: "Pause" }, abort] : [abort];
}
