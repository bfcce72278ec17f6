// How much SQL and the vault take.

import { h, panel, table } from "./dom.js";
import { away, bytes, percent, short, span } from "./format.js";
import { measure } from "./measure.js";

export function diskUsage({ disk_usage: found }) {
  const share = found.everything / found.limit;
  const rest = found.everything - found.watchlist - found.videos - found.roster;
  return panel(
    "SQL",
    { class: "w3" },
    h("span", { class: "soft small" }, percent(share), " of half a gigabyte"),
    h("p", { class: "big" }, bytes(found.everything)),
    measure(
      [],
      share,
      `The database occupies ${percent(share)} of half a gigabyte`,
      null,
      share > 1 ? "over" : share > 0.9 ? "near" : "",
    ),
    table(
      "Size of the tables",
      [
        { name: "Table", cell: (row) => row[0] },
        { name: "Size", number: true, cell: (row) => bytes(row[1]) },
      ],
      [
        ["watchlist", found.watchlist],
        ["videos", found.videos],
        ["roster", found.roster],
        ["PostgreSQL itself", rest],
      ],
    ),
  );
}

export function vault({ vault: found, now }) {
  const names = {
    hours: "hours (metrics/)",
    history: "history",
    metadata: "titles (videos/)",
    roster: "roster",
    availability: "availability",
    discoveries: "discoveries",
    import_queue: "import queue",
    prepared: "prepared figures",
    latest: "newest points",
    staged: "staged",
  };
  const rows = Object.entries(found.bytes).filter(([, size]) => size);
  return panel(
    "Vault",
    { class: "w3" },
    h(
      "span",
      { class: "soft small" },
      found.newest_point ? `newest point ${away(found.newest_point, now)}` : "no points yet",
    ),
    h("p", { class: "big" }, bytes(found.total)),
    h(
      "p",
      { class: "soft" },
      `${short(found.points)} ${found.points === 1 ? "point" : "points"}, ${found.bytes_a_point === null ? "–" : found.bytes_a_point} bytes a point`,
    ),
    table(
      "Bytes of the vault by layer",
      [
        { name: "Layer", cell: ([name]) => names[name] || name },
        { name: "Size", number: true, cell: ([, size]) => bytes(size) },
      ],
      rows,
    ),
    found.proven_since &&
      h(
        "p",
        { class: "soft small" },
        `points, metadata, events and discoveries were proven within the last ${span(now - found.proven_since)}`,
      ),
    found.measured_at &&
      h(
        "p",
        { class: "soft small" },
        `titles, roster, availability and discoveries as of ${away(found.measured_at, now)}`,
      ),
    found.root && h("p", { class: "note id" }, found.root),
  );
}
