// What is known of the chamber, out of the daemon's outlook and its topics. Nothing is judged here: what the rules say is
// taken as it is, and what is old, missing or doubtful is not known.

export const UNKNOWN = "unknown";

/** Where a route leads in the chamber, by the names that rigs have. Others lead to the sample. */
const ENDS = [
  [/stage/, "stage"],
  [/manipulator|tip|probe/, "tip"],
];

/** Of several devices that is drawn which one should look at first. */
const FIRST = {
  source: ({ cell }) => ["on", "unknown", "off"].indexOf(cell.known ? cell.value : UNKNOWN),
  tip: ({ at }) => ["contact", "inserted", UNKNOWN, "clear", "parked"].indexOf(at),
  route: ({ closed }) => (closed.known ? (closed.value === "open" ? 2 : 0) : 1),
  gauge: ({ open }) => [false, null, true].indexOf(open),
  stage: ({ moving }) => (moving ? 0 : 1),
};

/**
 * The chamber: {stage, tip, route, source, gauge, all, doubt}, each of these null where the rig has none; `all` has lists
 * of them. `outlook` is the daemon's answer, null before it came; `doubt` says why nothing of it counts any more, "" if it
 * does. A seen value is {value, known, why, statedBy, age}.
 */
export function chamberOf(devices, outlook, doubt) {
  const inputs = new Map((outlook?.inputs ?? []).map((input) => [input.input, input]));
  const look = (name) => seen(inputs.get(name), outlook === null ? "not asked yet" : doubt);
  const of = (kind, make) => devices.filter((device) => device.info?.interface === kind).map((device) => make(device, look));
  const all = {
    source: of("potentiostat", (device) => sourceOf(device, look, doubt)),
    route: of("feedthrough", routeOf),
    tip: of("manipulator", tipOf),
    stage: of("stage", stageOf),
    gauge: of("gauge", (device) => gaugeOf(device, look, outlook)),
  };
  const drawn = Object.entries(all).map(([kind, found]) => [kind, [...found].sort((a, b) => FIRST[kind](a) - FIRST[kind](b))[0] ?? null]);
  return { doubt, all, ...Object.fromEntries(drawn) };
}

function seen(input, doubt) {
  const value = input?.value ?? null;
  const why = doubt || (input ? (input.problem ?? "") : "never read");
  return {
    value,
    known: !why && value !== null && value !== UNKNOWN,
    why: why || (value === UNKNOWN ? "the device does not tell" : ""),
    statedBy: input?.stated_by ?? "",
    age: input?.age_s ?? null,
  };
}

function stageOf(device, look) {
  const { name } = device;
  return {
    name,
    position: look(`${name}.position`),
    alarm: look(`${name}.touch_alarm`),
    moving: moving(look(`${name}.moving`)),
  };
}

/** `at` is "contact", "inserted", "clear" or "unknown": where the tip is, as far as its device or a person tells. */
function tipOf(device, look) {
  const { name } = device;
  const [contact, inserted] = [look(`${name}.contact`), look(`${name}.inserted`)];
  let at = UNKNOWN;
  if (contact.known && contact.value === true) at = "contact";
  else if (inserted.known && inserted.value === true) at = "inserted";
  else if (inserted.known && inserted.value === false) at = "parked";
  else if (contact.known && contact.value === false) at = "clear";
  return { name, at, contact, inserted, position: look(`${name}.position`), moving: moving(look(`${name}.moving`)) };
}

/** `routes` are {name, end} with `end` "stage", "tip" or "sample", ordered as they are drawn; `closed` is a name. */
function routeOf(device, look) {
  const names = (device.info?.capabilities?.routes ?? []).filter((name) => name !== "open");
  const order = { tip: 0, sample: 1, stage: 2 };
  const routes = names.map((name) => ({ name, end: ENDS.find(([pattern]) => pattern.test(name))?.[1] ?? "sample" }));
  routes.sort((a, b) => order[a.end] - order[b.end]);
  return { name: device.name, routes, closed: look(`${device.name}.route`), moving: moving(look(`${device.name}.moving`)) };
}

function sourceOf(device, look, doubt) {
  const cell = look(`${device.name}.cell`);
  const { latest } = device;
  const running = !doubt && cell.known && cell.value === "on" && Boolean(device.state?.run);
  return {
    name: device.name,
    cell,
    current: running ? (latest?.current_a ?? null) : null,
    voltage: running ? (latest?.voltage_v ?? null) : null,
  };
}

function gaugeOf(device, look, outlook) {
  const input = `${device.name}.pressure_pa`;
  const pressure = look(input);
  const window = (outlook?.windows ?? []).find((each) => each.input === input) ?? null;
  return { name: device.name, pressure, window, open: window && pressure.known ? window.open : null };
}

function moving(input) {
  return input.known && input.value === true;
}

/** The three questions, each with what the daemon says of the acts that it is about. */
const QUESTIONS = [
  { key: "tilt", text: "May the stage tilt?", kind: "stage", act: "tilt", none: "This rig has no stage." },
  { key: "move", text: "May the manipulator move?", kind: "manipulator", act: "move", none: "This rig has no manipulator." },
  { key: "energise", text: "May the cell be energised?", kind: "potentiostat", act: "energise", none: "This rig has no potentiostat." },
];

/**
 * For each question {key, text, verdict, reasons, notes, devices}: the verdict is "yes" (all such devices may), "no",
 * "unknown" or "none"; a reason is {device, rule, text, why, needs, statements}; a statement {input, value, words} is what a person may say to satisfy it.
 */
export function answersOf(devices, outlook, doubt) {
  return QUESTIONS.map(({ key, text, kind, act, none }) => {
    const names = devices.filter((device) => device.info?.interface === kind).map((device) => device.name);
    if (!names.length) return { key, text, verdict: "none", reasons: [], notes: [none], devices: names };
    const unsure = outlook === null ? "The daemon has not answered yet." : doubt;
    if (unsure) return { key, text, verdict: UNKNOWN, reasons: [], notes: [unsure], devices: names };
    const judged = outlook.acts.filter((each) => each.act === act && names.includes(each.device));
    if (!judged.length) return { key, text, verdict: UNKNOWN, reasons: [], notes: ["The daemon does not tell."], devices: names };
    const verdict = judged.every((each) => each.allowed) ? "yes" : "no";
    const notes = judged
      .filter((each) => each.allowed && each.held_by)
      .map((each) => `Only ${each.held_by} may do it now: it holds ${each.device}.`);
    return { key, text, verdict, reasons: judged.flatMap(reasonsOf), notes, devices: names };
  });
}

/** What a person can state where a device does not tell, as docs/safety.md has it: of which quantity, what, in words. */
const STATEMENTS = {
  touch_alarm: { value: "armed", words: (device) => `the touch alarm of ${device} is armed` },
  contact: { value: false, words: (device) => `${device} is clear of the sample` },
};

function reasonsOf(judged) {
  const several = judged.rules.map(({ rule, text, why, needs, inputs }) => ({ device: judged.device, rule, text, why, needs, statements: statementsOf(inputs) }));
  if (!judged.fault) return several;
  const { message, hint } = judged.fault;
  const needs = hint || "Look at what is wrong, then acknowledge the fault.";
  return [{ device: judged.device, rule: "latched fault", text: "", why: message, needs, statements: [] }, ...several];
}

function statementsOf(inputs = []) {
  return inputs.flatMap(({ input, value, problem }) => {
    const dot = input.lastIndexOf(".");
    const can = STATEMENTS[input.slice(dot + 1)];
    return can && value === UNKNOWN && !problem ? [{ input, value: can.value, words: can.words(input.slice(0, dot)) }] : [];
  });
}
