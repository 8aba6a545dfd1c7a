// What came of a run, in a word and a sentence.

const STATUS = {
  running: ["running", "Running"], finished: ["ok", "Finished"], failed: ["danger", "Failed"], aborted: ["warning", "Aborted"], interrupted: ["danger", "Interrupted"],
};
const GOOD = new Set(["pass", "go", "contact", "no short", "completed", "arrived", "saved"]);
const BAD = new Set(["fail", "no-go", "short", "leak", "no contact"]);

/** {kind, text, reason} of a run's state and, if it is there, its result. */
export function verdictOf(run, result) {
  const [kind, text] = STATUS[run.status] ?? ["", run.status];
  if (run.status === "running" && run.question) return { kind: "warning", text: "Asks", reason: run.question.text };
  if (run.status === "running") return { kind, text: run.pause === "paused" ? "Paused" : text, reason: capital(run.step) };
  const error = run.error ?? result?.error;
  if (error) return { kind, text, reason: String(error.message ?? "") };
  const own = result?.result;
  const said = typeof own?.verdict === "string" ? own.verdict : "";
  const reason = typeof own?.reason === "string" ? own.reason : "";
  const word = capital(said);
  if (GOOD.has(said) || own?.passed === true) return { kind: "ok", text: word || "Pass", reason };
  if (BAD.has(said) || own?.passed === false) return { kind: "danger", text: word || "Fail", reason };
  return { kind: said === "undecided" || said === "inconclusive" ? "warning" : said ? "" : kind, text: word || text, reason };
}

function capital(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}
