// A video, or several: who they are, curves of their counts, and what happened to them.

import { COLOURS, key } from "./colours.js";
import { COUNTS, counts } from "./curves.js";
import { address, h, link, outerLink } from "./dom.js";
import { hits, welcome } from "./find-video.js";
import { away, number, span, time } from "./format.js";
import { AXES, MOST, RATES, kept } from "./shown.js";
import { story } from "./story.js";

export async function showVideo({ asked, ask }) {
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
    h(
      "div",
      { class: "grid" },
      COUNTS.map((name) => counts(name, videos, view)),
      story(videos),
    ),
  ];
}

function tierChip(video) {
  return [
    video.tier ? h("span", { class: "chip plain" }, video.tier) : h("span", { class: "chip watch" }, "not tracked"),
    video.state
      ? [" ", h("span", { class: `chip ${{ gone: "broken", missing: "watch" }[video.state] || "plain"}` }, video.state)]
      : null,
  ];
}

function head(video, now) {
  const facts = [
    [
      "Published",
      video.published_at ? `${time(video.published_at)} UTC, ${away(video.published_at, now)}` : "not known",
    ],
    ["Length", video.duration === null ? "–" : span(video.duration)],
    ["Readings", number(video.curve.seconds.length)],
    ["Last updated", video.last_at ? `${time(video.last_at)} UTC, ${away(video.last_at, now)}` : "never"],
    ["Next time", video.next_at ? `${time(video.next_at)} UTC, ${away(video.next_at, now)}` : "–"],
    video.interval ? ["Own interval", span(video.interval)] : null,
    ["Waits on", { watchlist: "the watchlist", roster: "the roster" }[video.place] || "neither watchlist nor roster"],
    video.since ? [`${video.state[0].toUpperCase()}${video.state.slice(1)} since`, `${time(video.since)} UTC`] : null,
    video.promoted_until ? ["Read daily until", `${time(video.promoted_until)} UTC`] : null,
  ].filter(Boolean);
  return h(
    "div",
    null,
    h(
      "div",
      { class: "row" },
      h("h1", { class: "title" }, video.title || h("span", { class: "id" }, video.video_id)),
      tierChip(video),
    ),
    h(
      "p",
      { class: "soft" },
      video.channel_title ? [video.channel_title, " · "] : null,
      outerLink(
        `https://www.youtube.com/watch?v=${video.video_id}`,
        h("span", { class: "id" }, video.video_id),
        " on YouTube",
      ),
    ),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, text]) => h("div", null, h("dt", null, name), h("dd", null, text))),
    ),
    video.why ? h("p", { class: "note" }, video.why) : null,
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
        link(
          { ...kept(asked), page: "video", v: video.video_id },
          h("span", { class: "title" }, video.title || video.video_id),
        ),
        tierChip(video),
        h(
          "span",
          { class: "soft small" },
          [
            video.channel_title,
            `last updated ${away(video.last_at, now)}`,
            video.next_at ? `next ${away(video.next_at, now)}` : null,
          ]
            .filter(Boolean)
            .join(" · "),
        ),
        link(
          {
            ...kept(asked),
            page: "video",
            v: videos
              .filter((each) => each !== video)
              .map((each) => each.video_id)
              .join(","),
          },
          "leave out",
          h("span", { class: "unseen" }, ` ${video.title || video.video_id}`),
        ),
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
        h(
          "a",
          {
            href: address({ ...kept(asked), page: "video", v, [parameter]: place === 0 ? null : value }),
            "aria-current": value === chosen ? "true" : null,
          },
          text,
        ),
      ),
    );
  const another = h(
    "form",
    { method: "get", action: "", class: "row" },
    Object.entries({ ...kept(asked), page: "video", v })
      .filter(([, value]) => value)
      .map(([name, value]) => h("input", { type: "hidden", name, value })),
    h("label", { class: "unseen", for: "another" }, "Another video beside it: id, URL or words of its title"),
    h("input", {
      id: "another",
      name: "q",
      type: "search",
      placeholder: "Compare with another video",
      autocomplete: "off",
    }),
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
