// Videos by tier: who waits, and what the next 24 hours need.

import { h, panel, table } from "./dom.js";
import { away, number } from "./format.js";

const QUEUES = {
  HOURLY: ["HOURLY", "first day"],
  DAILY: ["DAILY", "first week, or promoted"],
  WEEKLY: ["WEEKLY", "on the watchlist"],
  ROSTER: ["WEEKLY", "on the roster"],
  GONE: ["gone", "checked every 4 weeks"],
};
const STATES = {
  awaiting: "waiting for their start",
  promoted: "promoted",
  missing: "missing",
  gone: "gone, not yet on the roster",
};

export function tiers({ queues, states, now, quota: day }) {
  const tracked = queues.filter((each) => each.queue !== "GONE");
  const sum = (rows, name) => rows.reduce((total, each) => total + each[name], 0);
  const columns = [
    {
      name: "Tier",
      cell: (row) => [
        row.queue === "GONE"
          ? h("span", { class: "chip plain" }, "gone")
          : h("span", { class: "chip plain" }, row.tier),
        " ",
        h("span", { class: "soft small" }, QUEUES[row.queue][1]),
      ],
    },
    { name: "Videos", number: true, cell: (row) => number(row.videos) },
    { name: "Due", number: true, cell: (row) => number(row.due) },
    {
      name: "Overdue by 1 h",
      number: true,
      cell: (row) => (row.overdue ? h("span", { class: "falling" }, number(row.overdue)) : "0"),
    },
    { name: "Next", number: true, cell: (row) => away(row.next_at, now) },
    { name: "Readings in 24 h", number: true, cell: (row) => number(row.readings) },
    { name: "Calls", number: true, cell: (row) => (row.calls > 0 && row.calls < 0.5 ? "< 1" : number(row.calls)) },
  ];
  const box = table("Videos by tier", columns, queues);
  box.querySelector("table").append(
    h(
      "tfoot",
      null,
      h(
        "tr",
        null,
        h("th", { scope: "row" }, "tracked"),
        ["videos", "due", "overdue"].map((name) => h("td", { class: "number" }, number(sum(tracked, name)))),
        h("td", null),
        h("td", { class: "number" }, number(sum(queues, "readings"))),
        h("td", { class: "number" }, number(day.demand)),
      ),
    ),
  );
  const unusual = Object.entries(STATES).filter(([name]) => states[name]);
  return panel(
    "Videos by tier, and what the next 24 hours need",
    { class: "w8" },
    null,
    box,
    h(
      "p",
      { class: "note" },
      unusual.length
        ? ["On the watchlist: ", unusual.map(([name, text]) => `${number(states[name])} ${text}`).join(", "), "."]
        : "No video is missing, promoted or waiting for its start.",
    ),
  );
}
