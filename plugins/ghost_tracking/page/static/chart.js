// A chart by uPlot, with what it leaves to us: colours of the theme, a cursor for the keyboard, words for screen readers,
// and a table with the same numbers behind a button.

import { AXES, WHOLE, drawn, endOf, logSplits, rangeOf } from "./axes.js";
import { tableButton } from "./chart-table.js";
import { colour } from "./colours.js";
import { h } from "./dom.js";
import { short } from "./format.js";
import { drawFalls, drawMarks } from "./marks.js";
import { describe, lastPlace, readByKeyboard, tell } from "./reading.js";

window.addEventListener("themechange", () => drawn.forEach((plot) => plot.redraw(false)));

/**
 * A chart: { label, x: "time" | "age", series, height, log, marks, group, heads, rows, zero }.
 *
 * A series is { name, mark (1 to 6, fall, skip), xs, ys, form: "line" | "step" | "bars", falls: [places in ys], text }: xs ascend, a
 * null in ys is a gap. `marks` are { at, text }: lines with words. Charts of one `group` share cursor and zoom.
 */
export function chart(options) {
  const axis = AXES[options.x || "time"];
  const canvas = h("div", {
    class: "canvas",
    role: "slider",
    tabindex: "0",
    "aria-label": `${options.label}. Arrow keys read values; plus and minus zoom.`,
    "aria-valuemin": "0",
    "aria-valuenow": "0",
    "aria-valuemax": "0",
  });
  const reading = h("div", { class: "reading", "aria-hidden": "true" });
  const [button, place] = tableButton(options);
  const foot = h("div", { class: "foot" }, reading, button);
  const figure = h("figure", { class: "chart" }, canvas, foot, place);
  if (!options.series.some((each) => each.ys.some((value) => value !== null))) {
    canvas.replaceWith(h("p", { class: "waiting" }, options.empty || "No data yet."));
    foot.remove();
    return figure;
  }
  const data =
    options.series.length === 1
      ? [options.series[0].xs, options.series[0].ys]
      : window.uPlot.join(options.series.map((each) => [each.xs, each.ys]));
  const measure = new ResizeObserver((entries) => {
    const width = Math.floor(entries[0].contentRect.width);
    if (width < 40) return;
    if (!canvas.plot) {
      canvas.plot = draw(canvas, options, axis, data, width, reading);
      drawn.add(canvas.plot);
    } else canvas.plot.setSize({ width, height: options.height || 200 });
  });
  measure.observe(canvas);
  readByKeyboard(canvas, options, axis, data);
  tell(reading, options, axis, data, lastPlace(data));
  describe(canvas, options, axis, data, lastPlace(data));
  return figure;
}

function draw(canvas, options, axis, data, width, reading) {
  const log = Boolean(options.log);
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const look = {
    font,
    stroke: () => colour("--soft"),
    grid: { stroke: () => colour("--grid"), width: 1 },
    ticks: { stroke: () => colour("--line"), width: 1, size: 4 },
  };
  const settings = {
    width,
    height: options.height || 200,
    legend: { show: false },
    padding: [options.marks && options.marks.length ? 16 : 8, 20, 0, 0],
    cursor: {
      y: false,
      drag: { x: true, y: false },
      points: {
        size: 7,
        fill: (plot, place) =>
          place
            ? colour(
                (["fall", "skip"].includes(options.series[place - 1].mark) ? "--" : "--c") +
                  options.series[place - 1].mark,
              )
            : null,
      },
      sync: options.group ? { key: options.group, setSeries: false } : undefined,
    },
    scales: {
      x: {
        time: false,
        range: (_, low, high) =>
          low === data[0][0] && high === data[0].at(-1) ? [low, endOf(options, data)] : [low, high],
      },
      y: { distr: log ? 4 : 1, asinh: 1, range: (_, low, high) => rangeOf(low, high, options, log) },
    },
    axes: [
      {
        ...look,
        values: axis.values,
        incrs: axis.increments,
        space: 74,
        size: (plot, values) => (values && values.some((text) => String(text).includes("\n")) ? 46 : 30),
      },
      {
        ...look,
        values: (_, splits) => splits.map((value) => (value === null ? "" : short(value))),
        size: 54,
        space: log ? 28 : 34,
        incrs: log ? undefined : WHOLE,
        splits: log ? (plot) => logSplits(plot) : undefined,
        filter: log ? (_, splits) => splits : undefined,
      },
    ],
    series: [{}, ...options.series.map((each) => seriesOf(each, options))],
    hooks: {
      drawClear: [(plot) => drawMarks(plot, options)],
      draw: [(plot) => drawFalls(plot, options)],
      setCursor: [
        (plot) => {
          const place = plot.cursor.idx;
          if (place === null || place === undefined) return;
          tell(reading, options, axis, data, place);
          describe(canvas, options, axis, data, place);
        },
      ],
    },
  };
  const plot = new window.uPlot(settings, data, canvas);
  plot.options = options;
  return plot;
}

function seriesOf(each, options) {
  const stroke = () => colour("--c" + each.mark);
  const few = each.ys.length <= 240;
  if (each.form === "bars") {
    return {
      stroke: null,
      fill: () => colour("--bar"),
      paths: window.uPlot.paths.bars({ size: [0.82, 60], align: 1 }),
      points: { show: false },
    };
  }
  if (each.form === "holes") return { stroke: null, paths: () => null, points: { show: false } };
  if (each.form === "step") {
    return {
      stroke,
      width: 1.25,
      fill: () => tint(colour("--c" + each.mark), options.series.length > 1 ? 0 : 0.16),
      paths: steps,
      points: { show: false },
    };
  }
  return { stroke, width: 1.75, points: { show: few, size: 4, fill: stroke, stroke } };
}

/** What was gained is spread over the time since the reading before it, also where that one has no gain of its own. */
function steps(plot, row) {
  const xs = plot.data[0];
  const ys = plot.data[row];
  const stroke = new Path2D();
  const fill = new Path2D();
  const ground = plot.valToPos(0, "y", true);
  let before = null;
  let level = null;
  xs.forEach((at, place) => {
    const value = ys[place];
    if (value === undefined) return; // another series was read then
    const x = plot.valToPos(at, "x", true);
    if (value === null || before === null) level = null;
    else {
      const y = plot.valToPos(value, "y", true);
      if (level === null) stroke.moveTo(before, y);
      else stroke.lineTo(before, y);
      stroke.lineTo(x, y);
      fill.rect(before, Math.min(y, ground), x - before, Math.abs(ground - y));
      level = y;
    }
    before = x;
  });
  return { stroke, fill, clip: null, flags: 1 };
}

function tint(hex, share) {
  return (
    hex +
    Math.round(share * 255)
      .toString(16)
      .padStart(2, "0")
  );
}
