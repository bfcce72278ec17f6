// Numbers, sizes and times as people read them. All times are UTC.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const short = (value) => (value === null || value === undefined ? "–" : compact.format(value));
export const gain = (value) =>
  value === null || value === undefined
    ? "–"
    : (value > 0 ? "+" : value < 0 ? "−" : "") + (Math.abs(value) < 10 ? tenths : whole).format(Math.abs(value));
export const some = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;
export const percent = (share) =>
  share === null || !Number.isFinite(share)
    ? "–"
    : (share * 100 < 10 ? (share * 100).toFixed(1) : Math.round(share * 100)) + " %";

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  let shown = size;
  while (shown >= 1000 && place < units.length - 1) {
    shown /= 1000;
    place += 1;
  }
  return (place === 0 || shown >= 100 ? Math.round(shown) : shown.toPrecision(2)) + " " + units[place];
}

const two = (value) => String(value).padStart(2, "0");

/** Seconds since 1970 as `2026-11-25 08:00`, without a zone; a heading or a label says UTC. */
export function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const moment = new Date(seconds * 1000);
  return `${moment.getUTCFullYear()}-${two(moment.getUTCMonth() + 1)}-${two(moment.getUTCDate())} ${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}`;
}

export function day(seconds) {
  const moment = new Date(seconds * 1000);
  return `${moment.getUTCDate()} ${MONTHS[moment.getUTCMonth()]}`;
}

export function clock(seconds) {
  const moment = new Date(seconds * 1000);
  return `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}`;
}

/** A span of seconds: `3 min`, `2.5 h`, `12 days`. */
export function span(seconds) {
  const length = Math.abs(seconds);
  if (length < 90) return Math.round(length) + " s";
  if (length < 5400) return Math.round(length / 60) + " min";
  if (length < 172800) return trimmed(length / 3600) + " h";
  return trimmed(length / 86400) + " days";
}

const trimmed = (value) => (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value)));

/** How far a moment is from now: `in 3 min`, `2 h ago`. */
export function away(seconds, now) {
  if (seconds === null || seconds === undefined) return "–";
  const difference = seconds - now;
  if (Math.abs(difference) < 45) return "now";
  return difference > 0 ? "in " + span(difference) : span(difference) + " ago";
}
