// Curves of a video's counts, or of several, and of what they gain beside them.

import { chart } from "./chart.js";
import { COLOURS } from "./colours.js";
import { h, panel } from "./dom.js";
import { gain, number } from "./format.js";
import { RATES } from "./shown.js";

export const COUNTS = ["views", "likes", "comments"];

/** The panel of one count: its curve, and what it gained beside it. */
export function counts(name, videos, view) {
  const several = videos.length > 1;
  const heights = { views: 250, likes: 150, comments: 150 };
  const mark = (place) => (several ? COLOURS[place] : { views: "1", likes: "2", comments: "3" }[name]);
  const common = {
    x: view.axis === "date" ? "time" : "age",
    height: heights[name],
    group: "video",
    marks: marksOf(videos, view),
    empty: `YouTube shows no ${name}, or none have been read yet.`,
  };
  const title = name[0].toUpperCase() + name.slice(1);
  return panel(
    title,
    null,
    h("span", { class: "soft small" }, latest(name, videos)),
    h(
      "div",
      { class: "pair" },
      chart({
        ...common,
        label: view.gained ? `${title} since the first reading` : title,
        log: view.log,
        zero: !view.log && view.gained,
        series: videos.map((video, place) => curveOf(video, name, view, mark(place), several)),
      }),
      chart({
        ...common,
        label: `${title} gained ${{ interval: "between two readings", hour: "an hour", day: "a day" }[view.rate]}`,
        zero: true,
        series: videos.map((video, place) => gainOf(video, name, view, mark(place), several)),
      }),
    ),
  );
}

function latest(name, videos) {
  if (videos.length > 1) return "";
  const shown = videos[0].curve[name].filter((value) => value !== null);
  return shown.length
    ? [h("b", null, number(shown.at(-1))), `, ${gain(shown.at(-1) - shown[0])} since the first reading`]
    : "";
}

function curveOf(video, name, view, mark, several) {
  let values = video.curve[name];
  if (view.gained) {
    const first = values.find((value) => value !== null);
    values = values.map((value) => (value === null ? null : value - first));
  }
  const { xs, ys, places } = opened(video, values, view);
  return {
    name: several ? video.title || video.video_id : name,
    mark,
    xs,
    ys,
    form: "line",
    falls: video.curve.falls[name].map((fall) => places[fall.place]),
  };
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
  return {
    name: several ? video.title || video.video_id : `${name} gained`,
    mark,
    xs,
    ys,
    form: "step",
    falls,
    text: (value) => gain(Math.round(value)),
  };
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

/** Where zero of the axis lies for a video, in seconds since 1970. */
function origin(video, axis) {
  if (axis === "date") return 0;
  const first = video.curve.seconds[0] || 0;
  return axis === "age" ? (video.published_at ?? first) : first;
}

function marksOf(videos, view) {
  if (videos.length > 1 && view.axis === "date") return meaningsOf(videos, view);
  const video = videos[0];
  const zero = origin(video, view.axis);
  const tiers = video.tiers
    .slice(view.axis === "date" ? 0 : 1)
    .map((each) => ({ at: each.at - zero, text: each.tier }));
  const events =
    videos.length > 1
      ? []
      : video.events.map((each) => ({
          at: (each.returned_at ?? each.first_missed_at ?? each.confirmed_at) - zero,
          text: each.state,
        }));
  return [...tiers, ...events, ...(videos.length > 1 ? [] : meaningsOf([video], view))];
}

function meaningsOf(videos, view) {
  const found = new Map(
    videos.flatMap((video) =>
      video.meanings.map((each) => [
        each.at - origin(video, view.axis),
        { at: each.at - origin(video, view.axis), text: each.text, kind: "meaning" },
      ]),
    ),
  );
  return [...found.values()];
}
