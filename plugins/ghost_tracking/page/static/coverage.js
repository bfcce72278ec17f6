// Coverage: of the slots of each hour and tier, how many were served. What was left out on purpose is light; a hole is
// red, and says how much it lacks.

import { chart } from "./chart.js";
import { address, h, panel, table } from "./dom.js";
import { number, percent, some, time } from "./format.js";

const DAYS = { 1: "a day", 2: "two days", 7: "a week" };

export async function showCoverage({ asked, ask }) {
  const days = Object.hasOwn(DAYS, asked.get("days")) ? asked.get("days") : "2";
  const found = await ask("coverage", { days });
  return [
    h("h1", null, sentence(found)),
    h(
      "div",
      { class: "bar" },
      h(
        "fieldset",
        { class: "choice" },
        h("legend", null, "The last"),
        Object.entries(DAYS).map(([value, text]) =>
          h(
            "a",
            { href: address({ page: "coverage", days: value }), "aria-current": value === days ? "true" : null },
            text,
          ),
        ),
      ),
    ),
    h(
      "div",
      { class: "grid" },
      found.tiers.map((tier) => hours(tier, found)),
      worst(found),
    ),
    h(
      "p",
      { class: "note" },
      "A slot counts in the hour in which it lies, whenever it was served: a late reading fills its hole. Each reading serves the last slot before it. Slots at which the policy found that little is to be seen are skipped; those of videos that wait for that reason count as skipped, too. Other slots between two readings of a video were missed, and so were past slots of videos that are overdue. A video that YouTube does not have at the moment, or that has not started, has no slots.",
    ),
    h("p", { class: "note" }, `As of ${time(found.now)} UTC. All times are UTC.`),
  ];
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function sentence({ tiers, days, since }) {
  const expected = sum(tiers.flatMap((tier) => tier.expected));
  const served = sum(tiers.flatMap((tier) => tier.served));
  const skipped = sum(tiers.flatMap((tier) => tier.skipped));
  const range = since ? `since ${time(since)} UTC` : `of the last ${DAYS[days].replace("a ", "")}`;
  if (!expected) return `No slot lay ${range.replace(/^of/, "in")}`;
  if (served === expected)
    return expected === 1
      ? `The one slot ${range} was served`
      : `Every slot ${range} was served: ${number(expected)} readings`;
  const missing = expected - served - skipped;
  if (!missing)
    return `No slot ${range} is missing: ${some(served, "reading")}, and ${some(skipped, "slot")} left out on purpose`;
  const lacking = `${number(missing)} of ${number(expected)} ${missing === 1 ? "is" : "are"} missing`;
  return skipped
    ? `${percent(missing / expected)} of the slots ${range} were missed: ${lacking}, ${number(skipped)} were left out on purpose`
    : `${percent(served / expected)} of the slots ${range} were served: ${lacking}`;
}

function hours({ tier, expected, served, skipped }, { starts }) {
  const total = sum(expected);
  const got = sum(served);
  const left = sum(skipped);
  const behind = served.map((value, place) => value + skipped[place]);
  const lacking = expected.map((value, place) => value - behind[place]);
  const holes = lacking.flatMap((value, place) => (value > 0 ? [place] : []));
  const bars = { name: "served", mark: "1", form: "bars", xs: starts, ys: served };
  const onPurpose = { name: "skipped", mark: "skip", form: "holes", xs: starts, ys: skipped, ground: served };
  const missing = { name: "missing", mark: "fall", form: "holes", xs: starts, ys: lacking, ground: behind };
  return panel(
    tier,
    null,
    h(
      "span",
      { class: "soft small" },
      total
        ? [
            `${percent(got / total)} of ${some(total, "slot")} served`,
            left ? ` · ${percent(left / total)} skipped` : "",
            holes.length
              ? [
                  " · ",
                  h(
                    "span",
                    { class: "falling" },
                    `${number(total - got - left)} missing in ${some(holes.length, "hour")}`,
                  ),
                ]
              : "",
          ]
        : "no slot",
    ),
    chart({
      label: `${tier}: slots served, skipped and missing by hour`,
      x: "time",
      height: 150,
      zero: true,
      group: "coverage",
      series: [bars, left ? onPurpose : null, holes.length ? missing : null].filter(Boolean),
      top: Math.max(...expected),
      empty: "No video of this tier had a slot.",
    }),
  );
}

function worst({ worst: rows }) {
  const columns = [
    { name: "Hour", cell: (row) => time(row.start) },
    { name: "Tier", cell: (row) => h("span", { class: "chip plain" }, row.tier) },
    { name: "Slots", number: true, cell: (row) => number(row.expected) },
    { name: "Missing", number: true, cell: (row) => h("span", { class: "falling" }, number(row.missed)) },
    { name: "Share", number: true, cell: (row) => percent(row.missed / row.expected) },
  ];
  return panel(
    "The largest holes",
    null,
    null,
    rows.length ? table("Hours with the most missing slots", columns, rows) : h("p", { class: "note" }, "None."),
  );
}
