// What happened to a video, and where its counts fell.

import { COUNTS } from "./curves.js";
import { h, panel } from "./dom.js";
import { gain, number, span, time } from "./format.js";

export function story(videos) {
  const several = videos.length > 1;
  const about = (video) => (several ? [h("b", null, video.title || video.video_id), ": "] : null);
  const items = videos.flatMap((video) => [
    ...video.tiers.map((each) => ({
      at: each.at,
      text: [about(video), each.tier === "HOURLY" ? "is published, and HOURLY from then on." : `becomes ${each.tier}.`],
    })),
    ...video.events.map((each) =>
      each.state === "gone"
        ? {
            at: each.confirmed_at,
            text: [about(video), `is gone: missed three times since ${time(each.first_missed_at)}.`],
          }
        : { at: each.returned_at, text: [about(video), "is back."] },
    ),
    ...video.meanings.map((each) => ({ at: each.at, text: [about(video), each.sentence] })),
    ...video.curve.gaps.map((place) => ({
      at: video.curve.seconds[place],
      text: [
        about(video),
        `no reading for ${span(video.curve.seconds[place] - video.curve.seconds[place - 1])}: a gap.`,
      ],
    })),
  ]);
  const falls = videos.flatMap((video) =>
    COUNTS.flatMap((name) =>
      video.curve.falls[name].map((fall) => ({ video, name, at: video.curve.seconds[fall.place], ...fall })),
    ),
  );
  const line = (each) => h("li", null, h("span", { class: "soft" }, `${time(each.at)} `), each.text);
  const fallen = (each) =>
    h(
      "li",
      null,
      h("span", { class: "soft" }, `${time(each.at)} `),
      about(each.video),
      h("span", { class: "falling" }, `${gain(each.after - each.before)} ${each.name}`),
      each.because ? `. ${each.because}` : "",
    );
  items.sort((one, other) => one.at - other.at);
  falls.sort((one, other) => one.at - other.at);
  return [
    panel(
      "What happened",
      { class: "w6" },
      h("span", { class: "soft small" }, "UTC"),
      items.length
        ? h("ul", { class: "plainlist" }, items.slice(-60).map(line))
        : h("p", { class: "note" }, "Nothing that affects how to read its curves."),
    ),
    panel(
      "Falls",
      { class: "w6" },
      h("span", { class: "soft small" }, falls.length ? `${number(falls.length)} in all` : ""),
      falls.length
        ? h("ul", { class: "plainlist" }, falls.slice(-25).map(fallen))
        : h("p", { class: "note" }, "No count has ever fallen."),
    ),
  ];
}
