// The stop. One press, no question: it makes everything of the bridge safe. It waits behind nothing, says plainly what came
// of it, and says in big letters when it could not be sent.

import { dial, randomId } from "./connection.js";
import { h, replace } from "./dom.js";

/** No acknowledgement within this time: it is sent once more, over a connection of its own. The same id acts once. */
const HURRY_S = 1;
const PATIENCE_S = 8;
const BY_HAND = "Use the instruments' own switches. On the lab PC: picobridge emergency-stop.";

export function stopButton(labs) {
  const outcome = h("div", { role: "alert", class: "notices stop-outcome" });
  document.querySelector(".page").prepend(outcome);
  return h("button", { type: "button", class: "stop", onclick: () => press(labs.current, outcome) }, "STOP", h("small", {}, "everything safe"));
}

async function press(lab, outcome) {
  const say = (kind, headline, text, loud) => tell(outcome, kind, headline, text, loud);
  const { requests, connection } = lab;
  const { id, topic, payload } = requests.compose("emergency_stop", {}, { id: randomId(16) });
  const answer = requests.answer(id, PATIENCE_S);
  answer.catch(() => {});
  say("danger", "Stop: sending", "");
  try {
    await send(connection, topic, payload);
  } catch (error) {
    say("danger", "STOP CANNOT BE SENT", `${sentence(error.message)} Nothing has been stopped. ${BY_HAND}`, true);
    return;
  }
  say("danger", "Stop: sent", "Waiting for the daemon to say that everything is safe.");
  try {
    report(await answer, lab, say);
  } catch (error) {
    if (error.kind) say("danger", "THE STOP WAS ANSWERED WITH AN ERROR", `${error.message} ${error.hint} ${BY_HAND}`, true);
    else say("danger", "NO ANSWER TO THE STOP", `The broker has it, but the daemon does not say that anything was stopped. ${BY_HAND}`, true);
  }
}

/** Over the connection at hand; if that does not take it at once, over a new one as well. */
function send(connection, topic, payload) {
  const first = connection.publish(topic, payload);
  const hurried = new Promise((resolve, reject) => {
    const timer = setTimeout(go, HURRY_S * 1000);
    first.then(() => clearTimeout(timer), () => (clearTimeout(timer), go()));
    function go() {
      afresh(connection.url, topic, payload).then(resolve, reject);
    }
  });
  return Promise.any([first, hurried]).catch((errors) => {
    throw errors.errors.at(-1);
  });
}

function afresh(url, topic, payload) {
  return new Promise((resolve, reject) => {
    const client = dial(url, `stop-${randomId(4)}`);
    const give = (how, value) => {
      clearTimeout(timer);
      client.end(true);
      how(value);
    };
    const timer = setTimeout(() => give(reject, new Error("there is no connection to the daemon")), 4000);
    client.on("connect", () => client.publish(topic, payload, { qos: 1 }, (error) => (error ? give(reject, error) : give(resolve))));
    client.on("close", () => give(reject, new Error("there is no connection to the daemon")));
    client.on("error", () => {});
  });
}

function report(result, lab, say) {
  const unsafe = Object.entries(result.devices ?? {}).filter(([, state]) => state !== "safe");
  const aborted = result.runs?.length ? ` Aborted: ${result.runs.join(", ")}.` : "";
  const stored = result.stored === false ? " The disk did not take the fault; it is in force all the same." : "";
  if (unsafe.length) {
    const which = unsafe.map(([name, state]) => `${name}: ${typeof state === "string" ? state : state?.message ?? "not safe"}`).join("; ");
    say("danger", "STOPPED, BUT NOT EVERYTHING IS PROVEN SAFE", `${which}. ${BY_HAND}${aborted}${stored}`, true);
  } else {
    say("warning", `Stopped. Everything of ${lab.name} is safe.`, `Nothing moves or is energised until the fault is acknowledged.${aborted}${stored}`, true);
  }
}

function tell(outcome, kind, headline, text, loud) {
  const notice = h("div", { class: `notice ${kind} ${loud ? "loud" : ""}` }, h("div", { class: "text" }, h("strong", {}, headline), " ", text),
    loud && h("button", { type: "button", class: "button", onclick: () => replace(outcome) }, "Close"));
  replace(outcome, notice);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
