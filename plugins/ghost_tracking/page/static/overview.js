// The overview: is all well, who waits, what the day's quota gives, how much was read, how much it takes on disks.

import { chart } from "./chart.js";
import { h, link, panel, table } from "./dom.js";
import { some, span, time } from "./format.js";
import { health } from "./health.js";
import { policy } from "./policy.js";
import { quota } from "./quota.js";
import { runs } from "./runs.js";
import { diskUsage, vault } from "./storage.js";
import { tiers } from "./tiers.js";

export async function showOverview({ ask }) {
  const found = await ask("overview");
  return [
    health(found),
    h(
      "div",
      { class: "grid" },
      tiers(found),
      quota(found),
      policy(found),
      hours(found),
      diskUsage(found),
      vault(found),
      runs(found),
      found.gaps.length ? gaps(found) : null,
    ),
    h("p", { class: "note" }, `As of ${time(found.now)} UTC. All times are UTC.`),
  ];
}

function hours({ hours: found }) {
  const first = found.points.findIndex((points) => points > 0);
  const shown = first < 0 ? 0 : Math.max(0, Math.min(first, found.starts.length - 48));
  const total = found.points.reduce((sum, points) => sum + points, 0);
  const range = shown ? "the last " + span((found.starts.length - shown) * 3600) : "two weeks";
  const since = first > 0 ? ` since ${time(found.starts[first])}` : "";
  return panel(
    `Points an hour, ${range}`,
    null,
    h(
      "span",
      { class: "soft small" },
      `${some(total, "point")}${since} · `,
      link({ page: "coverage" }, "are any missing?"),
    ),
    chart({
      label: `Points an hour, ${range}`,
      series: [
        { name: "points", mark: "1", form: "bars", xs: found.starts.slice(shown), ys: found.points.slice(shown) },
      ],
      height: 190,
      zero: true,
      empty: "No point in two weeks.",
    }),
  );
}

function gaps({ gaps: found }) {
  const columns = [
    { name: "Source", cell: (row) => row.source },
    { name: "From (UTC)", cell: (row) => time(row.start) },
    { name: "To", cell: (row) => time(row.end) },
    { name: "Why", cell: (row) => row.reason },
  ];
  return panel(
    "Incomplete sources",
    { class: "w8" },
    null,
    table("Windows of sources that were not read completely", columns, found),
    h("p", { class: "note" }, "Videos that they published in these windows may be missing. Shown for 30 days."),
  );
}
