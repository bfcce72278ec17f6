// A video, or several: curves of its counts, what they gain beside them, and what happened to it.

import { COLOURS, chart, key } from "./charts.js";
import { address, h, link, outerLink, panel, say } from "./dom.js";
import { away, gain, number, some, span, time } from "./format.js";

const COUNTS = ["views", "likes", "comments"];
const AXES = { date: "by date", age: "by age", first: "since the first reading" };
const RATES = { interval: ["a reading", null], hour: ["an hour", 3600], day: ["a day", 86400] };
const MOST = 6;

export async function video({ asked, ask }) {
  const shown = (asked.get("v") || "").split(",").filter(Boolean).slice(0, MOST);
  const query = (asked.get("q") || "").trim();
  if (query) {
    const found = await ask("find", { q: query });
    if (found.video_id) {
      const v = [...new Set([...shown, found.video_id])].slice(-MOST).join(",");
      location.replace(address({ ...kept(asked), page: "video", v }));
      return h("p", { class: "waiting" }, "Found it …");
    }
    return hits(query, found.hits, shown, asked);
  }
  if (!shown.length) return welcome((await ask("newest")).videos);
  const found = await ask("video", { v: shown.join(",") });
  return page(found, asked);
}

/** What an address keeps when it leads to the same charts of other videos. */
function kept(asked) {
  return Object.fromEntries(["v", "x", "scale", "counts", "rate"].map((name) => [name, asked.get(name)]));
}

function welcome(newest) {
  return [
    h("h1", null, "Find a video"),
    h("p", { class: "note" }, "By its id, its URL, or words of its title, in the box above: also one whose title has left the database long ago. The pages ", link({ page: "movers" }, "Movers"), " and ", link({ page: "coverage" }, "Coverage"), " lead to videos too."),
    newest.length
      ? panel(`The newest ${newest.length === 1 ? "video" : `${newest.length} videos`} on the watchlist`, { class: "below" }, h("span", { class: "soft small" }, "by publication"), h("ul", { class: "hits" }, newest.map((each) => hit(each, { page: "video", v: each.video_id }))))
      : h("p", { class: "note" }, "No video is on the watchlist yet: the hunter's first run brings some."),
  ];
}

function hits(query, found, shown, asked) {
  say(`${some(found.length, "video")} found`);
  return [
    h("h1", null, found.length ? `Videos with “${query}” in their titles` : `No video is known by “${query}”`),
    found.length
      ? h(
          "ul",
          { class: "hits" },
          found.map((each) => hit(each, { ...kept(asked), page: "video", v: [...shown, each.video_id].slice(-MOST).join(",") })),
        )
      : h("p", { class: "note" }, "Words of two letters or more match at the beginning of words of a title, whatever their case and accents; the longest eight count. An id or a URL finds every video that was ever read."),
  ];
}

function hit(each, parameters) {
  const known = [each.channel_title, each.published_at ? `published ${time(each.published_at)} UTC` : null].filter(Boolean);
  return h(
    "li",
    null,
    link(parameters, h("span", { class: "title" }, each.title || each.video_id)),
    h("div", { class: "soft small" }, known.map((text) => text + " · "), h("span", { class: "id" }, each.video_id)),
  );
}

function page({ videos, now }, asked) {
  const axis = Object.hasOwn(AXES, asked.get("x")) ? asked.get("x") : "date";
  const rate = Object.hasOwn(RATES, asked.get("rate")) ? asked.get("rate") : "interval";
  const view = { axis, rate, log: asked.get("scale") === "log", gained: asked.get("counts") === "gained", now };
  const several = videos.length > 1;
  document.title = `${several ? `${videos.length} videos` : videos[0].title || videos[0].video_id} · Ghost Tracking`;
  return [
    several ? h("h1", null, `${videos.length} videos together`) : null,
    several ? together(videos, asked, now) : head(videos[0], now),
    controls(asked, view, videos),
    h("div", { class: "grid" }, COUNTS.map((name) => counts(name, videos, view)), story(videos)),
  ].filter(Boolean);
}

function tierChip(video) {
  return [
    video.tier ? h("span", { class: "chip plain" }, video.tier) : h("span", { class: "chip watch" }, "not tracked"),
    video.state ? [" ", h("span", { class: `chip ${{ gone: "broken", missing: "watch" }[video.state] || "plain"}` }, video.state)] : null,
  ];
}

function head(video, now) {
  const facts = [
    ["Published", video.published_at ? `${time(video.published_at)} UTC, ${away(video.published_at, now)}` : "not known"],
    ["Length", video.duration === null ? "–" : span(video.duration)],
    ["Readings", number(video.curve.seconds.length)],
    ["Last updated", video.last_at ? `${time(video.last_at)} UTC, ${away(video.last_at, now)}` : "never"],
    ["Next time", video.next_at ? `${time(video.next_at)} UTC, ${away(video.next_at, now)}` : "–"],
    ["Waits on", { watchlist: "the watchlist", roster: "the roster", nowhere: "neither watchlist nor roster" }[video.place]],
    video.since ? [`${video.state[0].toUpperCase()}${video.state.slice(1)} since`, `${time(video.since)} UTC`] : null,
    video.heated_until ? ["Read daily until", `${time(video.heated_until)} UTC`] : null,
  ].filter(Boolean);
  return h(
    "div",
    null,
    h("div", { class: "row" }, h("h1", { class: "title" }, video.title || h("span", { class: "id" }, video.video_id)), tierChip(video)),
    h("p", { class: "soft" }, video.channel_title ? [video.channel_title, " · "] : null, outerLink(`https://www.youtube.com/watch?v=${video.video_id}`, h("span", { class: "id" }, video.video_id), " on YouTube")),
    h("dl", { class: "facts" }, facts.map(([name, text]) => h("div", null, h("dt", null, name), h("dd", null, text)))),
  );
}

function together(videos, asked, now) {
  return h(
    "ul",
    { class: "hits" },
    videos.map((video, place) =>
      h(
        "li",
        { class: "row" },
        key(COLOURS[place]),
        link({ ...kept(asked), page: "video", v: video.video_id }, h("span", { class: "title" }, video.title || video.video_id)),
        tierChip(video),
        h("span", { class: "soft small" }, [video.channel_title, `last updated ${away(video.last_at, now)}`, video.next_at ? `next ${away(video.next_at, now)}` : null].filter(Boolean).join(" · ")),
        link({ ...kept(asked), page: "video", v: videos.filter((each) => each !== video).map((each) => each.video_id).join(",") }, "leave out", h("span", { class: "unseen" }, ` ${video.title || video.video_id}`)),
      ),
    ),
  );
}

function controls(asked, view, videos) {
  const v = videos.map((each) => each.video_id).join(",");
  const choice = (name, parameter, options, chosen) =>
    h(
      "fieldset",
      { class: "choice" },
      h("legend", null, name),
      Object.entries(options).map(([value, text], place) =>
        h("a", { href: address({ ...kept(asked), page: "video", v, [parameter]: place === 0 ? null : value }), "aria-current": value === chosen ? "true" : null }, text),
      ),
    );
  const another = h(
    "form",
    { method: "get", action: "", class: "row" },
    Object.entries({ ...kept(asked), page: "video", v }).filter(([, value]) => value).map(([name, value]) => h("input", { type: "hidden", name, value })),
    h("label", { class: "unseen", for: "another" }, "Another video beside it: id, URL or words of its title"),
    h("input", { id: "another", name: "q", type: "search", placeholder: "Compare with another video", autocomplete: "off" }),
    h("button", { type: "submit" }, "Add"),
  );
  return h(
    "div",
    { class: "bar" },
    choice("Axis", "x", AXES, view.axis),
    choice("Scale", "scale", { linear: "linear", log: "log" }, view.log ? "log" : "linear"),
    choice("Counts", "counts", { all: "all", gained: "since the first reading" }, view.gained ? "gained" : "all"),
    choice("Gain", "rate", Object.fromEntries(Object.entries(RATES).map(([name, [text]]) => [name, text])), view.rate),
    videos.length < MOST ? another : null,
    h("a", { class: "button", href: "data/series.csv" + address({ v }), download: "" }, "CSV"),
    h("a", { class: "button", href: "data/history.parquet" + address({ v }), download: "" }, "Parquet"),
  );
}

/** Where zero of the axis lies for a video, in seconds since 1970. */
function origin(video, axis) {
  if (axis === "date") return 0;
  const first = video.curve.seconds[0] || 0;
  return axis === "age" ? video.published_at ?? first : first;
}

/** A curve with a null in each gap, so that it is drawn as one; `places` tells where each reading went. */
function opened(video, values, view) {
  const zero = origin(video, view.axis);
  const gaps = new Set(video.curve.gaps);
  const xs = [];
  const ys = [];
  const places = [];
  video.curve.seconds.forEach((at, place) => {
    if (gaps.has(place)) {
      xs.push((at + video.curve.seconds[place - 1]) / 2 - zero);
      ys.push(null);
    }
    places.push(xs.length);
    xs.push(at - zero);
    ys.push(values[place]);
  });
  return { xs, ys, places };
}

function curveOf(video, name, view, mark, several) {
  let values = video.curve[name];
  if (view.gained) {
    const first = values.find((value) => value !== null);
    values = values.map((value) => (value === null ? null : value - first));
  }
  const { xs, ys, places } = opened(video, values, view);
  return { name: several ? video.title || video.video_id : name, mark, xs, ys, form: "line", falls: video.curve.falls[name].map((fall) => places[fall.place]) };
}

/** What was gained between two readings, at the second of them; not over a gap. */
function gainOf(video, name, view, mark, several) {
  const gaps = new Set(video.curve.gaps);
  const values = video.curve[name];
  let last = null;
  const gains = values.map((value, place) => {
    if (value === null) return null;
    const before = last;
    last = place;
    if (before === null || gaps.has(place)) return null;
    const seconds = video.curve.seconds[place] - video.curve.seconds[before];
    const unit = RATES[view.rate][1];
    return unit === null ? value - values[before] : ((value - values[before]) * unit) / Math.max(1, seconds);
  });
  const { xs, ys, places } = opened(video, gains, view);
  const falls = gains.flatMap((value, place) => (value !== null && value < 0 ? [places[place]] : []));
  return { name: several ? video.title || video.video_id : `${name} gained`, mark, xs, ys, form: "step", falls, text: (value) => gain(Math.round(value)) };
}

function marksOf(videos, view) {
  if (videos.length > 1 && view.axis === "date") return meaningsOf(videos, view);
  const video = videos[0];
  const zero = origin(video, view.axis);
  const tiers = video.tiers.slice(view.axis === "date" ? 0 : 1).map((each) => ({ at: each.at - zero, text: each.tier }));
  const events = videos.length > 1 ? [] : video.events.map((each) => ({ at: (each.returned_at ?? each.first_missed_at ?? each.confirmed_at) - zero, text: each.state }));
  return [...tiers, ...events, ...(videos.length > 1 ? [] : meaningsOf([video], view))];
}

function meaningsOf(videos, view) {
  const found = new Map(videos.flatMap((video) => video.meanings.map((each) => [each.at - origin(video, view.axis), { at: each.at - origin(video, view.axis), text: each.text, kind: "meaning" }])));
  return [...found.values()];
}

function counts(name, videos, view) {
  const several = videos.length > 1;
  const heights = { views: 250, likes: 150, comments: 150 };
  const mark = (place) => (several ? COLOURS[place] : { views: "1", likes: "2", comments: "3" }[name]);
  const common = { x: view.axis === "date" ? "time" : "age", height: heights[name], group: "video", marks: marksOf(videos, view), empty: `YouTube shows no ${name}, or none was read yet.` };
  const title = name[0].toUpperCase() + name.slice(1);
  return panel(
    title,
    null,
    h("span", { class: "soft small" }, latest(name, videos)),
    h(
      "div",
      { class: "pair" },
      chart({ ...common, label: view.gained ? `${title} since the first reading` : title, log: view.log, zero: !view.log && view.gained, series: videos.map((video, place) => curveOf(video, name, view, mark(place), several)) }),
      chart({ ...common, label: `${title} gained ${{ interval: "between two readings", hour: "an hour", day: "a day" }[view.rate]}`, zero: true, series: videos.map((video, place) => gainOf(video, name, view, mark(place), several)) }),
    ),
  );
}

function latest(name, videos) {
  if (videos.length > 1) return "";
  const shown = videos[0].curve[name].filter((value) => value !== null);
  return shown.length ? [h("b", null, number(shown.at(-1))), `, ${gain(shown.at(-1) - shown[0])} since the first reading`] : "";
}

function story(videos) {
  const several = videos.length > 1;
  const about = (video) => (several ? [h("b", null, video.title || video.video_id), ": "] : null);
  const items = videos.flatMap((video) => [
    ...video.tiers.map((each) => ({ at: each.at, text: [about(video), each.tier === "HOURLY" ? "is published, and HOURLY from then on." : `becomes ${each.tier}.`] })),
    ...video.events.map((each) =>
      each.state === "gone"
        ? { at: each.confirmed_at, text: [about(video), `is gone: missed three times since ${time(each.first_missed_at)}.`] }
        : { at: each.returned_at, text: [about(video), "is back."] },
    ),
    ...video.meanings.map((each) => ({ at: each.at, text: [about(video), each.sentence] })),
    ...video.curve.gaps.map((place) => ({ at: video.curve.seconds[place], text: [about(video), `no reading for ${span(video.curve.seconds[place] - video.curve.seconds[place - 1])}: a gap.`] })),
  ]);
  const falls = videos.flatMap((video) => COUNTS.flatMap((name) => video.curve.falls[name].map((fall) => ({ video, name, at: video.curve.seconds[fall.place], ...fall }))));
  const line = (each) => h("li", null, h("span", { class: "soft" }, `${time(each.at)} `), each.text);
  const fallen = (each) =>
    h("li", null, h("span", { class: "soft" }, `${time(each.at)} `), about(each.video), h("span", { class: "falling" }, `${gain(each.after - each.before)} ${each.name}`), each.because ? `. ${each.because}` : "");
  items.sort((one, other) => one.at - other.at);
  falls.sort((one, other) => one.at - other.at);
  return [
    panel("What happened", { class: "w6" }, h("span", { class: "soft small" }, "UTC"), items.length ? h("ul", { class: "plainlist" }, items.slice(-60).map(line)) : h("p", { class: "note" }, "Nothing that changes how its curves are to be read.")),
    panel("Falls", { class: "w6" }, h("span", { class: "soft small" }, falls.length ? `${number(falls.length)} in all` : ""), falls.length ? h("ul", { class: "plainlist" }, falls.slice(-25).map(fallen)) : h("p", { class: "note" }, "No count has ever fallen.")),
  ];
}
