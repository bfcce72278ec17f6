// What the address of a page of videos has: which videos, and how their charts are drawn.

export const AXES = { date: "by date", age: "by age", first: "since the first reading" };
export const RATES = { interval: ["a reading", null], hour: ["an hour", 3600], day: ["a day", 86400] };
export const MOST = 6;

/** What an address keeps when it leads to the same charts of other videos. */
export function kept(asked) {
  return Object.fromEntries(["v", "x", "scale", "counts", "rate"].map((name) => [name, asked.get(name)]));
}
