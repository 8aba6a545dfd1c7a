// Who may ask for what, as docs/access.md has it: what would be refused is not offered.

const RANK = { observer: 1, operator: 2, administrator: 3 };
const OBSERVER = [
  "ping", "devices", "procedures", "runs", "items", "faults", "rules", "outlook", "leases", "streams", "replay", "recorded", "history",
  "stop", "emergency_stop",
];
const OPERATOR = [
  "call", "run", "abort", "pause", "continue", "answer", "resume", "state", "lease", "renew", "release", "acknowledge",
];
const LEAST = Object.fromEntries([...OBSERVER.map((method) => [method, 1]), ...OPERATOR.map((method) => [method, 2])]);

/** "" if `role` may have `method` executed, or why not. */
export function whyNot(role, method) {
  const needed = LEAST[method] ?? RANK.administrator;
  if ((RANK[role] ?? 0) >= needed) return "";
  const words = Object.keys(RANK)[needed - 1];
  return role ? `You are ${role}; this needs the role ${words}.` : `This needs a log-in with the role ${words}.`;
}
