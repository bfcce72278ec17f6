// The axes of a chart: their numbers, where they end, and what part of time they show. Charts of a group zoom together.

import { clock, day, span, time } from "./format.js";

/** All charts that are drawn. */
export const drawn = new Set();

/** Steps of an axis of counts, which have no halves. */
export const WHOLE = Array.from({ length: 15 }, (_, power) => [1, 2, 2.5, 5].map((step) => step * 10 ** power))
  .flat()
  .filter(Number.isInteger);

/** The axis below: how its numbers are written, how a moment is told, the steps that it may have. */
export const AXES = {
  time: {
    values: (_, splits, __, ___, step) =>
      splits.map((at, place) => {
        if (at === null) return "";
        if (step >= 86400) return day(at);
        return clock(at) + (place === 0 || new Date(at * 1000).getUTCHours() === 0 ? "\n" + day(at) : "");
      }),
    text: (at) => time(at) + " UTC",
    increments: [
      300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2592000, 7776000,
      31536000,
    ],
  },
  age: {
    values: (_, splits) => splits.map((at) => (at === null ? "" : at === 0 ? "0" : span(at))),
    text: (at) => span(at) + " after publication",
    increments: [
      600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2419200, 7257600, 31449600,
    ],
  },
};

/** Where the axis ends: a bar stands right of its moment, so the last one needs room of its own. */
export function endOf(options, data) {
  const xs = data[0];
  const last = xs.at(-1);
  if (xs.length < 2) return last + 86400;
  return options.series.some((each) => each.form === "bars") ? 2 * last - xs.at(-2) : last;
}

/** The lowest and the highest value that the axis of counts shows. */
export function rangeOf(low, high, options, log) {
  if (low === null || high === null) return [0, 1];
  const top = Math.max(high, options.top || high);
  const bottom = options.zero ? Math.min(low, 0) : low;
  if (bottom === top) return [Math.min(0, bottom), top + 1];
  const margin = (top - bottom) * 0.06;
  if (log) return [Math.max(0, bottom > 0 ? bottom * 0.8 : bottom * 1.2), top * 1.2];
  return [bottom >= 0 ? Math.max(0, options.zero ? 0 : bottom - margin) : bottom - margin, top + margin];
}

/** Powers of ten, and between them 2 and 5 where there is room for their numbers: no line is without one. */
export function logSplits(plot) {
  const { min, max } = plot.scales.y;
  const tall = plot.over.clientHeight || plot.height;
  const placeOf = (value) => ((Math.asinh(value) - Math.asinh(min)) / (Math.asinh(max) - Math.asinh(min))) * tall;
  const found = min <= 0 ? [0] : [];
  for (const step of [1, 5, 2]) {
    for (let power = 0; power < 14; power += 1) {
      const value = step * 10 ** power;
      if (value < min || value > max) continue;
      if (found.every((other) => Math.abs(placeOf(other) - placeOf(value)) >= 16)) found.push(value);
    }
  }
  return found.sort((one, other) => one - other);
}

/** Show so many times the time that is shown, around a moment; all of it where that is more. */
export function zoom(plot, data, middle, factor) {
  const first = data[0][0];
  const last = endOf(plot.options, data);
  const { min, max } = plot.scales.x;
  const half = ((max - min) / 2) * factor;
  if (!Number.isFinite(half) || half * 2 >= last - first) scale(plot, first, last);
  else scale(plot, Math.max(first, middle - half), Math.min(last, middle + half));
  plot.setCursor({ left: plot.valToPos(middle, "x"), top: plot.over.clientHeight / 2 });
}

/** Show the time between two moments, in all charts of the group. */
export function scale(plot, min, max) {
  const group = plot.cursor.sync && plot.cursor.sync.key;
  const plots = group ? [...drawn].filter((each) => each.cursor.sync && each.cursor.sync.key === group) : [plot];
  plots.forEach((each) => each.setScale("x", { min, max }));
}
