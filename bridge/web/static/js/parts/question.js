// What a run asks the operator, as a form. The first answer that fits counts, whoever gives it.

import { h, replace, setText } from "../dom.js";
import { Form } from "../form.js";
import { say, named } from "../named.js";

/** In `root`; call the function that comes back with each new state of the run. */
export function questionForm(root, { lab }) {
  const panel = h("section", { class: "panel question", hidden: true, "aria-label": "The run asks" });
  root.append(panel);
  let shown = "";
  let allow = () => {};
  return (run) => {
    const question = run?.status === "running" ? run.question : null;
    const key = question ? `${run.run} ${question.id}` : "";
    if (key !== shown) {
      shown = key;
      panel.hidden = !question;
      replace(panel, question ? build(run, question) : []);
    }
    if (question) allow(lab.whyNot("answer"));
  };

  function build(run, question) {
    const form = new Form(question.fields ?? []);
    const said = h("p", { class: "error", role: "alert" });
    const details = Object.entries(question.details ?? {}).map(([name, value]) => [named(name).label, say(name, value)]).filter(([, value]) => value);
    const send = async (choice, buttons) => {
      const first = choice === question.choices[0];
      if (first && !form.check()) return;
      setText(said, "");
      buttons.forEach((button) => (button.disabled = true));
      const params = { run: run.run, question: question.id, choice };
      if (first && form.fields.length) params.values = form.values;
      try {
        await lab.ask("answer", params);
      } catch (error) {
        if (!form.complain(error.message)) setText(said, [error.message, error.hint].filter(Boolean).join(" "));
        buttons.forEach((button) => (button.disabled = false));
      }
    };
    const buttons = question.choices.map((choice, place) =>
      h("button", { type: "button", class: `button ${place ? "" : "primary"}`, onclick: () => send(choice, buttons) }, choice[0].toUpperCase() + choice.slice(1)));
    const choices = h("div", { class: "buttons" }, buttons);
    const reason = h("p", { class: "muted" });
    allow = (why) => {  // what is typed in already stays, whatever the connection does
      setText(reason, why || "");
      reason.hidden = !why;
      choices.hidden = Boolean(why);
    };
    return [
      h("h2", {}, "The run asks"),
      h("p", { class: "question-text" }, question.text),
      details.length > 0 && h("dl", { class: "facts small" }, details.flatMap(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])),
      form.fields.length > 0 && h("div", { class: "fields" }, form.fields.map(({ element }) => element)),
      said,
      reason,
      choices,
    ];
  }
}
