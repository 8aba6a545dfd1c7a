// Instants in the reader's own time zone, with its name; daylight saving is the browser's business.

const two = (number) => String(number).padStart(2, "0");

/** Seconds since 1970 as "2026-11-24 16:03:05". */
export function dateTime(seconds) {
  const at = new Date(seconds * 1000);
  return Number.isNaN(at.getTime()) ? "–" : `${date(at)} ${clock(at)}`;
}

/** "16:03:05" today, with the date on any other day. */
export function shortTime(seconds, now = Date.now() / 1000) {
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return "–";
  return date(at) === date(new Date(now * 1000)) ? clock(at) : `${date(at)} ${clock(at)}`;
}

/** The zone at that instant: "CET", "GMT+1". */
export function zone(seconds = Date.now() / 1000) {
  const found = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(new Date(seconds * 1000));
  return found.find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** Nanoseconds since 1970, which JSON has as an integer, in seconds. */
export function fromNs(nanoseconds) {
  return typeof nanoseconds === "number" ? nanoseconds / 1e9 : NaN;
}

function date(at) {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

function clock(at) {
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
