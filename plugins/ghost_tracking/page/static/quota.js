// What today's quota has given, and what the next 24 hours need of it.

import { h, panel } from "./dom.js";
import { clock, number, percent, some } from "./format.js";
import { measure } from "./measure.js";

export function quota({ quota: day, policy, now }) {
  const gone = (now - day.day_starts) / (day.day_ends - day.day_starts);
  const measures = Object.entries(day.buckets).map(([name, bucket]) =>
    measure(
      [
        h("span", null, name),
        h("span", { class: "soft" }, h("b", null, number(bucket.spent)), ` of ${some(bucket.budget, "call")}`),
      ],
      bucket.budget ? bucket.spent / bucket.budget : 0,
      `${name}: ${number(bucket.spent)} of ${some(bucket.budget, "call")} are spent`,
      gone,
      bucket.is_exhausted ? "over" : bucket.budget && bucket.spent / bucket.budget > Math.max(0.9, gone) ? "near" : "",
    ),
  );
  return panel(
    "Quota today",
    { class: "w4" },
    h("span", { class: "soft small" }, `${percent(gone)} of the day has passed`),
    measures,
    h(
      "p",
      { class: "note" },
      `The line marks the time of the day, which ends at ${clock(day.day_ends)} UTC. `,
      h("b", null, sentence(day, policy)),
      ". ",
      policy.name !== "adaptive" && day.runs_out_at ? `Unpaced, it would be used up at ${clock(day.runs_out_at)}.` : "",
    ),
  );
}

function sentence({ demand, need, capacity, skipped, is_short }, { name }) {
  if (name === "adaptive")
    return `All ${some(capacity, "call")} a day are used; every slot of every tier would take ${number(demand)}`;
  const calls = `The next 24 hours need ${some(need, "call")} of ${number(capacity)}`;
  if (is_short) return `${calls}, so ${percent(skipped)} of all slots are left out`;
  return skipped > 0
    ? `${calls}: ${percent(skipped)} of all slots are left out to save quota`
    : `${calls}, so every video is read at its slots`;
}
