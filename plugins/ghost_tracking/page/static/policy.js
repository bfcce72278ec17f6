// How readings are shared out: the policy, what became of each tier's slots, who waits how long, and how wrong that leaves
// what is known.

import { h, panel, table } from "./dom.js";
import { number, percent, some, span, time } from "./format.js";

export function policy({ policy: found }) {
  return panel(
    `Policy of reading: ${found.name}`,
    null,
    h("span", { class: "soft small" }, found.why || "No slot is left out on purpose."),
    h("p", { class: "note" }, found.text),
    h("div", { class: "pair even" }, h("div", null, slots(found)), h("div", null, liveliness(found))),
    errors(found),
  );
}

function slots({ tiers }) {
  const share = (count, row) => (row.served + row.skipped + row.missed ? percent(count / total(row)) : "–");
  const columns = [
    {
      name: "Tier",
      cell: (row) => [
        h("span", { class: "chip plain" }, row.tier),
        " ",
        h("span", { class: "soft small" }, `last ${span(row.hours * 3600)}`),
      ],
    },
    { name: "Slots", number: true, cell: (row) => number(total(row)) },
    { name: "Skipped", number: true, cell: (row) => share(row.skipped, row) },
    {
      name: "Missed",
      number: true,
      cell: (row) => (row.missed ? h("span", { class: "falling" }, share(row.missed, row)) : share(0, row)),
    },
    { name: "Planned, every", number: true, cell: (row) => span(row.planned) },
    { name: "Really, every", number: true, cell: (row) => (row.interval === null ? "–" : span(row.interval)) },
  ];
  return table("Slots by tier: planned and real intervals", columns, tiers);
}

const total = (row) => row.served + row.skipped + row.missed;

function liveliness({ liveliness: classes, counted_at: at }) {
  if (!classes.length)
    return h("p", { class: "note" }, "Who waits how long is counted by the tracker's runs, once a day.");
  const columns = [
    { name: "Views gained a day", cell: gain },
    { name: "Videos", number: true, cell: (row) => number(row.videos) },
    { name: "Planned, every", number: true, cell: (row) => span(row.planned) },
    { name: "By the policy", number: true, cell: (row) => span(row.interval) },
    { name: "Newest count is", number: true, cell: (row) => (row.age === null ? "–" : `${span(row.age)} old`) },
  ];
  return [
    table("Videos by what they gain, and how long they wait", columns, classes),
    h("p", { class: "note" }, `Means, as of ${time(at)} UTC; of settled videos a sample.`),
  ];
}

function gain({ least, below }) {
  if (least === null) return "not known yet";
  if (below === null) return `${number(least)} and more`;
  return least ? `${number(least)} to ${number(below)}` : `under ${number(below)}`;
}

function errors({ last_count: held, curve }) {
  if (!held)
    return h(
      "p",
      { class: "note" },
      "Audits read videos at random beside their slots, while any slot is left out, and measure how wrong what is known of the others is. There are too few of them in the last week.",
    );
  const said = (name, error) => [
    h("b", null, `${name} of a video is wrong by ${plusMinus(error.percent, error.percent_within)} %`),
    ` on average, ${plusMinus(error.views, error.views_within)} views (${some(error.audits, "audit")}). `,
  ];
  return h(
    "p",
    { class: "note" },
    said("The newest count", held),
    curve ? said("The curve", curve) : null,
    "Audits of the last week, of videos at random; the true mean lies within ± in nineteen of twenty cases.",
  );
}

const plusMinus = (value, within) => `${brief(value)} ± ${brief(within)}`;
const brief = (value) => (value < 10 ? value.toFixed(value < 1 ? 2 : 1) : number(value));
