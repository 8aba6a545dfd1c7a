// The stop. One press, no question: it makes everything of the bridge safe. It waits behind nothing, says plainly what came
// of it, and says in big letters when it could not be sent.

import { dial, randomId } from "./connection.js";
import { h, replace } from "./dom.js";

/** No acknowledgement within this time: it is sent once more, over a connection of its own. */
const HURRY_S = 1;
const FRESH_S = 4;
/** How long such a connection waits for its subscription to the answer, which must not hold up the stop. */
const SUBSCRIBED_S = 0.5;
const PATIENCE_S = 8;
const BY_HAND = "Use the instruments' own switches. On the lab PC: picobridge emergency-stop.";

export function stopButton(labs) {
  const outcome = h("div", { role: "alert", class: "notices stop-outcome" });
  document.querySelector(".page").prepend(outcome);
  return h("button", { type: "button", class: "stop", onclick: () => press(labs.current, outcome) }, "STOP", h("small", {}, "everything safe"));
}

async function press(lab, outcome) {
  const say = (kind, headline, text, loud) => tell(outcome, kind, headline, text, loud);
  const { requests } = lab;
  const request = requests.compose("emergency_stop", {}, { id: randomId(16) });
  const answer = requests.answer(request.id, HURRY_S + FRESH_S + PATIENCE_S);
  answer.catch(() => {});
  say("danger", "Stop: sending", "");
  try {
    await send(lab, request, answer, () => say("danger", "THE STOP IS NOT CONFIRMED", `Nobody has taken it yet. ${BY_HAND}`, true));
  } catch (error) {
    const came = error.perhaps ? "It may have arrived all the same." : "Nothing has been stopped.";
    say("danger", "STOP CANNOT BE SENT", `${sentence(error.message)} ${came} ${BY_HAND}`, true);
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

/** Over the connection at hand; if that does not take it at once, over a new one as well. `doubtful` is called where that
 * one fails while the first still says nothing: on a dead network it may be silent for long. */
function send({ connection, requests }, { topic, payload }, answer, doubtful) {
  let pending = true;
  const first = connection.publish(topic, payload).finally(() => (pending = false));
  const hurried = new Promise((resolve, reject) => {
    const timer = setTimeout(go, HURRY_S * 1000);
    first.then(() => clearTimeout(timer), () => (clearTimeout(timer), go()));
    function go() {
      afresh(connection.url, requests, topic, payload, answer).then(resolve, reject);
    }
  });
  hurried.catch(() => pending && doubtful());
  return Promise.any([first, hurried]).catch(({ errors }) => {
    throw Object.assign(errors.at(-1), { perhaps: errors.some((error) => error.perhaps) });
  });
}

/** Sent when it resolves; the connection stays for the answer, which the first one may never bring. */
function afresh(url, requests, topic, payload, answer) {
  return new Promise((resolve, reject) => {
    const client = dial(url, `stop-${randomId(4)}`);
    const fail = (error = new Error("there is no connection to the daemon")) => {
      clearTimeout(timer);
      client.end(true);
      reject(error);
    };
    const timer = setTimeout(fail, FRESH_S * 1000);
    let gone = false;
    const publish = () => {
      if (gone) return;
      gone = true;
      client.publish(topic, payload, { qos: 1 }, (error) => (error ? fail(error) : (clearTimeout(timer), resolve())));
    };
    client.on("connect", () => {
      client.subscribe(requests.replyTo, { qos: 1 }, publish);
      setTimeout(publish, SUBSCRIBED_S * 1000);
    });
    client.on("message", (_, reply) => requests.hear(reply));
    client.on("close", () => fail());
    client.on("error", () => {});
    const end = () => client.end(true);
    answer.then(end, end);
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
