// Movers: what grows fastest, absolute and against its channel; what came back to life; what vanished.

import { address, h, link, panel, table } from "./dom.js";
import { away, gain, number, some, span, time } from "./format.js";

const WINDOWS = { hour: "an hour", day: "a day", week: "a week" };
const ORDERS = { gain: "views gained", times: "against the channel" };

export async function showMovers({ asked, ask }) {
  const window = Object.hasOwn(WINDOWS, asked.get("window")) ? asked.get("window") : "day";
  const order = asked.get("by") === "times" ? "times" : "gain";
  const found = await ask("movers", { window });
  return [
    h("h1", null, `What grows fastest over ${WINDOWS[window]}`),
    h(
      "div",
      { class: "bar" },
      choice("Over", "window", WINDOWS, window, { by: order === "gain" ? null : order }),
      choice("By", "by", ORDERS, order, { window }),
    ),
    h("div", { class: "grid" }, fastest(found, order), promoted(found), vanished(found)),
    h("p", { class: "note" }, moment(found)),
    found.since === null
      ? null
      : h("p", { class: "note" }, `Gains are known since ${time(found.since)} UTC only; earlier ones are missing.`),
    found.as_of !== null && found.since === null && found.missed === null
      ? h(
          "p",
          { class: "note" },
          "The gains of some hours were lost, so videos may be missing from the list. The janitor's next run makes these gains again from the points.",
        )
      : null,
    found.missed
      ? h(
          "p",
          { class: "note" },
          `Videos that gained up to ${number(found.missed)} views may be missing from the list.`,
        )
      : null,
  ];
}

function moment({ as_of: prepared, is_late: late, window }) {
  if (prepared === null) return "Not prepared yet: the next run of ghost_tracker does that after publishing.";
  const often = window === "hour" ? "by every run of ghost_tracker" : "once an hour by ghost_tracker";
  return `As of ${time(prepared)} UTC; prepared ${often}${late ? ". That is late: check the log of its task publish." : "."}`;
}

function choice(name, parameter, options, chosen, others) {
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", null, name),
    Object.entries(options).map(([value, text]) =>
      h(
        "a",
        {
          href: address({ page: "movers", ...others, [parameter]: value }),
          "aria-current": value === chosen ? "true" : null,
        },
        text,
      ),
    ),
  );
}

const title = (row) => [
  link({ page: "video", v: row.video_id }, h("span", { class: "title" }, row.title || row.video_id)),
  row.channel_title ? h("div", { class: "soft small" }, row.channel_title) : null,
];

function fastest(found, order) {
  const { window, seconds } = found;
  let rows = found.movers;
  if (order === "times") rows = rows.filter((row) => row.times !== null).sort((one, other) => other.times - one.times);
  const columns = [
    { name: "Video", cell: title },
    { name: "Age", number: true, cell: (row) => (row.published_at ? span(row.until - row.published_at) : "–") },
    { name: "Views", number: true, cell: (row) => number(row.last_count) },
    { name: `Gained in ${WINDOWS[window]}`, number: true, cell: (row) => h("b", null, gain(row.gain)) },
    {
      name: "Between readings",
      number: true,
      cell: (row) => h("span", { class: "soft small" }, span(row.until - row.since)),
    },
    {
      name: "Channel's median at that age",
      number: true,
      cell: (row) =>
        row.median === null
          ? h("span", { class: "soft" }, "–")
          : [
              gain(row.median),
              h("span", { class: "soft small" }, ` of ${row.siblings}`),
              h("div", { class: "soft small" }, `${span(row.ages[0])} to ${span(row.ages[1])} old`),
            ],
    },
    {
      name: "Times",
      number: true,
      cell: (row) => [
        row.times
          ? h("b", null, `${row.times >= 100 ? number(row.times) : row.times.toFixed(row.times < 10 ? 1 : 0)} ×`)
          : h("span", { class: "soft" }, "–"),
        row.median === null ? null : h("div", { class: "soft small" }, `${gain(row.own)} ÷ ${gain(row.median)}`),
      ],
    },
  ];
  return panel(
    `The fastest among ${some(found.readings, "reading")}`,
    null,
    h("span", { class: "soft small" }, order === "gain" ? "by views gained" : "by times the channel's median"),
    h(
      "div",
      { class: "formula" },
      h(
        "code",
        null,
        `gained = (last count − first count) × ${span(seconds)} ÷ max(${span(seconds)}, time between them)`,
      ),
      h("br"),
      h(
        "code",
        null,
        "times = gain between two ages ÷ median of the gains of up to 15 earlier videos of the channel between the same ages",
      ),
    ),
    rows.length
      ? table("Fastest videos", columns, rows, { class: "scroll tall" })
      : h(
          "p",
          { class: "note" },
          order === "gain"
            ? "No video has two readings that differ in this window."
            : "No channel of these movers has three earlier videos that were read at the same age.",
        ),
    h(
      "p",
      { class: "note" },
      "The first count is the newest one before the window, at most one window old; if there is none, it is the first one within the window. Between readings, views of a channel's videos are interpolated linearly, from 0 at publication. If a mover's first reading came late, its gain between the two ages, shown below its times, is therefore larger than its gain between readings.",
    ),
  );
}

function promoted({ promoted: rows, now }) {
  const columns = [
    { name: "Video", cell: title },
    { name: "Last updated", number: true, cell: (row) => away(row.last_at, now) },
    { name: "Next", number: true, cell: (row) => away(row.next_at, now) },
    { name: "Read daily until", number: true, cell: (row) => time(row.promoted_until) },
  ];
  return panel(
    "Came back to life",
    { class: "w6" },
    h("span", { class: "soft small" }, "settled videos, now promoted"),
    rows.length
      ? table("Videos that came back to life", columns, rows)
      : h("p", { class: "note" }, "No settled video grows much faster than in the week before."),
  );
}

function vanished({ vanished: rows, now }) {
  const columns = [
    { name: "Video", cell: title },
    {
      name: "What",
      cell: (row) => h("span", { class: `chip ${row.state === "gone" ? "broken" : "well"}` }, row.state),
    },
    { name: "When", number: true, cell: (row) => away(row.at, now) },
    { name: "Last count", number: true, cell: (row) => number(row.views) },
  ];
  return panel(
    "Vanished, and returned",
    { class: "w6" },
    h("span", { class: "soft small" }, "30 days"),
    rows.length
      ? table("Videos that vanished or returned", columns, rows)
      : h("p", { class: "note" }, "No video vanished in 30 days."),
  );
}
