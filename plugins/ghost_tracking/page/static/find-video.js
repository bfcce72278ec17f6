// Videos to choose from: those that a search has found, or the newest.

import { h, link, panel, say } from "./dom.js";
import { some, time } from "./format.js";
import { MOST, kept } from "./shown.js";

export function welcome(newest) {
  return [
    h("h1", null, "Find a video"),
    h(
      "p",
      { class: "note" },
      "Enter its id, its URL or words of its title in the box above. Titles that have left the database are found too. The pages ",
      link({ page: "movers" }, "Movers"),
      " and ",
      link({ page: "coverage" }, "Coverage"),
      " also lead to videos.",
    ),
    newest.length
      ? panel(
          `The newest ${newest.length === 1 ? "video" : `${newest.length} videos`} on the watchlist`,
          { class: "below" },
          h("span", { class: "soft small" }, "by publication"),
          h(
            "ul",
            { class: "hits" },
            newest.map((each) => hit(each, { page: "video", v: each.video_id })),
          ),
        )
      : h("p", { class: "note" }, "No video is on the watchlist yet. The hunter's first run adds some."),
  ];
}

export function hits(query, found, shown, asked) {
  say(`${some(found.length, "video")} found`);
  return [
    h("h1", null, found.length ? `Videos with “${query}” in their titles` : `No video found for “${query}”`),
    found.length
      ? h(
          "ul",
          { class: "hits" },
          found.map((each) =>
            hit(each, { ...kept(asked), page: "video", v: [...shown, each.video_id].slice(-MOST).join(",") }),
          ),
        )
      : h(
          "p",
          { class: "note" },
          "Words of two or more letters match the beginnings of words in titles; case and accents are ignored. Only the eight longest words count. An id or a URL finds every video that was ever read.",
        ),
  ];
}

function hit(each, parameters) {
  const known = [each.channel_title, each.published_at ? `published ${time(each.published_at)} UTC` : null].filter(
    Boolean,
  );
  return h(
    "li",
    null,
    link(parameters, h("span", { class: "title" }, each.title || each.video_id)),
    h(
      "div",
      { class: "soft small" },
      known.map((text) => text + " · "),
      h("span", { class: "id" }, each.video_id),
    ),
  );
}
