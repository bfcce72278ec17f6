// The overview: is all well, who waits, what the day's quota gives, how much was read, how much room it takes.

import { chart } from "./charts.js";
import { airflowLink, h, link, panel, table } from "./dom.js";
import { away, bytes, clock, number, percent, short, some, span, time } from "./format.js";

const SIGNS = { well: "✓", watch: "!", broken: "×" };
const QUEUES = {
  HOURLY: ["HOURLY", "first day"],
  DAILY: ["DAILY", "first week, or heated"],
  WEEKLY: ["WEEKLY", "on the watchlist"],
  ROSTER: ["WEEKLY", "on the roster"],
  GONE: ["gone", "looked at every 4 weeks"],
};
const STATES = {
  awaiting: "waiting for their start",
  heated: "heated",
  missing: "missing",
  gone: "gone, not yet shelved",
};

export async function overview({ ask }) {
  const found = await ask("overview");
  return [
    verdict(found),
    h(
      "div",
      { class: "grid" },
      videos(found),
      quota(found),
      hours(found),
      room(found),
      vault(found),
      runs(found),
      found.gaps.length ? gaps(found) : null,
    ),
    h("p", { class: "note" }, `As of ${time(found.now)} UTC. All times are UTC.`),
  ];
}

function verdict({ verdict: said }) {
  const advice = (each) => [each.action, each.path ? [" ", airflowLink(each.path, "Look at it in Airflow"), "."] : null];
  return h(
    "div",
    { class: `verdict ${said.level}` },
    h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[said.level]),
    h("h1", null, said.sentence),
    said.action ? h("p", null, advice(said)) : h("p", { class: "soft" }, "Nothing to do."),
    said.others.length ? h("ul", null, said.others.map((each) => h("li", null, each.sentence, " ", advice(each)))) : null,
  );
}

function videos({ queues, states, now, quota: day }) {
  const tracked = queues.filter((each) => each.queue !== "GONE");
  const sum = (rows, name) => rows.reduce((total, each) => total + each[name], 0);
  const columns = [
    { name: "Tier", cell: (row) => [row.queue === "GONE" ? h("span", { class: "chip plain" }, "gone") : h("span", { class: "chip plain" }, row.tier), " ", h("span", { class: "soft small" }, QUEUES[row.queue][1])] },
    { name: "Videos", number: true, cell: (row) => number(row.videos) },
    { name: "Due", number: true, cell: (row) => number(row.due) },
    { name: "Overdue by 1 h", number: true, cell: (row) => (row.overdue ? h("span", { class: "falling" }, number(row.overdue)) : "0") },
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
        h("td", { class: "number" }, number(day.needed)),
      ),
    ),
  );
  const unusual = Object.entries(STATES).filter(([name]) => states[name]);
  return panel(
    "Videos by tier, and what the next 24 hours need",
    { class: "w8" },
    null,
    box,
    h("p", { class: "note" }, unusual.length ? ["On the watchlist besides: ", unusual.map(([name, text]) => `${number(states[name])} ${text}`).join(", "), "."] : "No video is missing, heated or waiting for its start."),
  );
}

function quota({ quota: day, now }) {
  const gone = (now - day.day_starts) / (day.day_ends - day.day_starts);
  const measures = Object.entries(day.buckets).map(([name, bucket]) =>
    measure(
      [h("span", null, name), h("span", { class: "soft" }, h("b", null, number(bucket.spent)), ` of ${some(bucket.budget, "call")}`)],
      bucket.budget ? bucket.spent / bucket.budget : 0,
      `${name}: ${number(bucket.spent)} of ${some(bucket.budget, "call")} are spent`,
      gone,
      bucket.is_exhausted ? "over" : bucket.budget && bucket.spent / bucket.budget > Math.max(0.9, gone) ? "near" : "",
    ),
  );
  const enough = day.needed <= day.owned;
  return panel(
    "Quota today",
    { class: "w4" },
    h("span", { class: "soft small" }, `${percent(gone)} of the day has gone`),
    measures,
    h(
      "p",
      { class: "note" },
      `The line is where the day stands; it ends at ${clock(day.day_ends)} UTC. `,
      h("b", null, `The next 24 hours need ${some(day.needed, "call")} of ${number(day.owned)}`),
      enough ? ", so every video is read at its slots." : `, so every video waits ${day.stretch === null ? "for ever" : day.stretch.toFixed(2) + " times"} as long.`,
      day.runs_out_at ? ` Unpaced, it would be used up at ${clock(day.runs_out_at)}.` : "",
    ),
  );
}

/** A bar: how much of a whole; the line is something to compare it with. */
function measure(words, share, label, line, kind) {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = make("svg", { "aria-hidden": "true" });
  svg.append(make("rect", { x: "0", y: "0", height: "100%", rx: "5", width: `${Math.min(100, Math.max(share > 0 ? 0.8 : 0, share * 100))}%`, class: kind || "" }));
  if (line !== null) svg.append(make("line", { x1: `${line * 100}%`, x2: `${line * 100}%`, y1: "-4", y2: "14" }));
  return h(
    "div",
    { class: "measure" },
    h("div", { class: "row spread" }, words),
    h("div", { class: "rail", role: "img", "aria-label": label }, svg),
  );
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
    h("span", { class: "soft small" }, `${some(total, "point")}${since} · `, link({ page: "coverage" }, "are any missing?")),
    chart({
      label: `Points an hour, ${range}`,
      series: [{ name: "points", mark: "1", form: "bars", xs: found.starts.slice(shown), ys: found.points.slice(shown) }],
      height: 190,
      zero: true,
      empty: "No point in two weeks.",
    }),
  );
}

function room({ room: found }) {
  const share = found.everything / found.limit;
  const rest = found.everything - found.watchlist - found.videos - found.roster;
  return panel(
    "SQL",
    { class: "w3" },
    h("span", { class: "soft small" }, percent(share), " of half a gigabyte"),
    h("p", { class: "big" }, bytes(found.everything)),
    measure([], share, `The database takes ${percent(share)} of half a gigabyte`, null, share > 1 ? "over" : share > 0.9 ? "near" : ""),
    table("Room of the tables", [{ name: "Table", cell: (row) => row[0] }, { name: "Size", number: true, cell: (row) => bytes(row[1]) }], [
      ["watchlist", found.watchlist],
      ["videos", found.videos],
      ["roster", found.roster],
      ["the rest, PostgreSQL's own", rest],
    ]),
  );
}

function vault({ vault: found, now }) {
  const names = { hours: "hours (metrics/)", history: "history", metadata: "titles (videos/)", roster: "roster", availability: "availability", import_queue: "import queue", staged: "staged" };
  const rows = Object.entries(names).filter(([name]) => found.bytes[name]);
  return panel(
    "Vault",
    { class: "w3" },
    h("span", { class: "soft small" }, found.newest_point ? `newest point ${away(found.newest_point, now)}` : "no point yet"),
    h("p", { class: "big" }, bytes(found.total)),
    h("p", { class: "soft" }, `${short(found.points)} ${found.points === 1 ? "point" : "points"}, ${found.bytes_a_point === null ? "–" : found.bytes_a_point} bytes a point`),
    table("Bytes of the vault by layer", [{ name: "Layer", cell: ([name]) => names[name] }, { name: "Size", number: true, cell: ([name]) => bytes(found.bytes[name]) }], rows),
    found.root && h("p", { class: "note id" }, found.root),
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
    "What sources could not give",
    { class: "w8" },
    null,
    table("Windows of sources that could not be had whole", columns, found),
    h("p", { class: "note" }, "What they published in these windows may be missing: noted in the last 30 days."),
  );
}

function runs({ dags, now }) {
  const rows = dags.flatMap((dag) => (dag.runs.length ? dag.runs.slice(0, dag.dag_id === "ghost_tracker" ? 4 : 2) : [null]).map((run) => ({ dag, run })));
  const columns = [
    { name: "DAG", cell: ({ dag }) => [airflowLink(`dags/${dag.dag_id}`, dag.dag_id), dag.is_paused ? [" ", h("span", { class: "chip broken" }, "paused")] : null] },
    { name: "Run", cell: ({ dag, run }) => (run ? h("span", { class: "one" }, airflowLink(`dags/${dag.dag_id}/runs/${encodeURIComponent(run.run_id)}`, away(run.at, now))) : "none yet") },
    { name: "State", cell: ({ run }) => (run ? h("span", { class: `chip ${{ success: "well", failed: "broken" }[run.state] || "watch"}` }, run.state) : "") },
    { name: "Took", number: true, cell: ({ run }) => (run && run.seconds !== null ? span(run.seconds) : "") },
    { name: "What it says", cell: ({ dag, run }) => (run && run.failure ? failed(dag, run) : h("div", { class: "small two", title: run && run.message }, (run && run.message) || "")) },
  ];
  if (!rows.length) return panel("Last runs", { class: "w6" }, null, h("p", { class: "soft" }, "Airflow does not let you see the runs of these DAGs."));
  return panel("Last runs", { class: "w6" }, null, table("Last runs of the three DAGs", columns, rows));
}

/** Which task failed, and, when its log has told it, why: asked of Airflow, which knows who may read logs. */
function failed(dag, run) {
  const { task_id: task, map_index: index, try_number: attempt } = run.failure;
  const id = encodeURIComponent(run.run_id);
  const place = h("span", null, "failed");
  const mapped = index >= 0;
  reason(`api/v2/dags/${dag.dag_id}/dagRuns/${id}/taskInstances/${task}/logs/${attempt}?full_content=true${mapped ? `&map_index=${index}` : ""}`).then((said) => said && place.replaceChildren(said));
  return h("div", { class: "small" }, airflowLink(`dags/${dag.dag_id}/runs/${id}/tasks/${task}${mapped ? `/mapped/${index}` : ""}`, mapped ? `${task} ${index}` : task), ": ", place);
}

/** The last exception that a log reports; null where there is none to be had. */
async function reason(path) {
  try {
    const answer = await fetch(new URL("../" + path, document.baseURI), { headers: { Accept: "application/json" } });
    if (!answer.ok) return null;
    const { content } = await answer.json();
    const [error] = content.findLast((row) => row.error_detail && row.error_detail.length)?.error_detail || [];
    return error ? error.exc_value || error.exc_type : null;
  } catch {
    return null;
  }
}
