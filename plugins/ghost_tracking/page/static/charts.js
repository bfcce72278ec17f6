// uPlot, with what it leaves to us: colours of the theme, a cursor for the keyboard, words for screen readers, and a
// table with the same numbers behind a button.

import { h, table } from "./dom.js";
import { clock, day, number, short, span, time } from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = new Set();
const WHOLE = Array.from({ length: 15 }, (_, power) => [1, 2, 2.5, 5].map((step) => step * 10 ** power)).flat().filter(Number.isInteger); // counts have no halves

window.addEventListener("themechange", () => drawn.forEach((plot) => plot.redraw(false)));

export const COLOURS = ["1", "2", "3", "4", "5", "6"];

/** The little square that stands for a series. */
export const key = (mark) => h("span", { class: "key" }, square(mark));

function square(mark) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  shape.setAttribute("width", "10");
  shape.setAttribute("height", "10");
  shape.setAttribute("rx", "2");
  shape.setAttribute("class", "f" + mark);
  svg.append(shape);
  return svg;
}

const AXES = {
  time: {
    values: (_, splits, __, ___, step) =>
      splits.map((at, place) => {
        if (at === null) return "";
        if (step >= 86400) return day(at);
        return clock(at) + (place === 0 || new Date(at * 1000).getUTCHours() === 0 ? "\n" + day(at) : "");
      }),
    text: (at) => time(at) + " UTC",
    increments: [300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2592000, 7776000, 31536000],
  },
  age: {
    values: (_, splits) => splits.map((at) => (at === null ? "" : at === 0 ? "0" : span(at))),
    text: (at) => span(at) + " after publication",
    increments: [600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2419200, 7257600, 31449600],
  },
};

/**
 * A chart: { label, x: "time" | "age", series, height, log, marks, group, heads, rows, zero }.
 *
 * A series is { name, mark (1 to 6), xs, ys, form: "line" | "step" | "bars", falls: [places in ys], text }: xs ascend, a
 * null in ys is a gap. `marks` are { at, text }: lines with words. Charts of one `group` share cursor and zoom.
 */
export function chart(options) {
  const axis = AXES[options.x || "time"];
  const canvas = h("div", { class: "canvas", role: "slider", tabindex: "0", "aria-label": `${options.label}. Arrow keys read it, plus and minus zoom.`, "aria-valuemin": "0", "aria-valuenow": "0", "aria-valuemax": "0" });
  const reading = h("div", { class: "reading", "aria-hidden": "true" });
  const [button, place] = tableButton(options, axis);
  const foot = h("div", { class: "foot" }, reading, button);
  const figure = h("figure", { class: "chart" }, canvas, foot, place);
  if (!options.series.some((each) => each.ys.some((value) => value !== null))) {
    canvas.replaceWith(h("p", { class: "waiting" }, options.empty || "There is nothing to draw yet."));
    foot.remove();
    return figure;
  }
  const data = options.series.length === 1 ? [options.series[0].xs, options.series[0].ys] : window.uPlot.join(options.series.map((each) => [each.xs, each.ys]));
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
  const look = { font, stroke: () => colour("--soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1, size: 4 } };
  const settings = {
    width,
    height: options.height || 200,
    legend: { show: false },
    padding: [options.marks && options.marks.length ? 16 : 8, 20, 0, 0],
    cursor: {
      y: false,
      drag: { x: true, y: false },
      points: { size: 7, fill: (plot, place) => (place ? colour(options.series[place - 1].mark === "fall" ? "--fall" : "--c" + options.series[place - 1].mark) : null) },
      sync: options.group ? { key: options.group, setSeries: false } : undefined,
    },
    scales: {
      x: { time: false, range: (_, low, high) => (low === data[0][0] && high === data[0].at(-1) ? [low, endOf(options, data)] : [low, high]) },
      y: { distr: log ? 4 : 1, asinh: 1, range: (_, low, high) => roomFor(low, high, options, log) },
    },
    axes: [
      { ...look, values: axis.values, incrs: axis.increments, space: 74, size: (plot, values) => (values && values.some((text) => String(text).includes("\n")) ? 46 : 30) },
      { ...look, values: (_, splits) => splits.map((value) => (value === null ? "" : short(value))), size: 54, space: log ? 28 : 34, incrs: log ? undefined : WHOLE, splits: log ? (plot) => logSplits(plot) : undefined, filter: log ? (_, splits) => splits : undefined },
    ],
    series: [{}, ...options.series.map((each) => seriesOf(each, options))],
    hooks: {
      drawClear: [(plot) => drawMarks(plot, options)],
      draw: [(plot) => drawFalls(plot, options, data)],
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

/** Where the axis ends: a bar stands right of its moment, so the last one needs room of its own. */
function endOf(options, data) {
  const xs = data[0];
  const last = xs.at(-1);
  if (xs.length < 2) return last + 86400;
  return options.series.some((each) => each.form === "bars") ? 2 * last - xs.at(-2) : last;
}

function roomFor(low, high, options, log) {
  if (low === null || high === null) return [0, 1];
  high = Math.max(high, options.top || high);
  if (options.zero || low >= 0) low = Math.min(low, options.zero ? 0 : low);
  if (low === high) return [Math.min(0, low), high + 1];
  const room = (high - low) * 0.06;
  if (log) return [Math.max(0, low > 0 ? low * 0.8 : low * 1.2), high * 1.2];
  return [low >= 0 ? Math.max(0, options.zero ? 0 : low - room) : low - room, high + room];
}

/** Powers of ten, and between them 2 and 5 where there is room for their numbers: no line is without one. */
function logSplits(plot) {
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

function seriesOf(each, options) {
  const stroke = () => colour("--c" + each.mark);
  const few = each.ys.length <= 240;
  if (each.form === "bars") {
    return { stroke: null, fill: () => colour("--bar"), paths: window.uPlot.paths.bars({ size: [0.82, 60], align: 1 }), points: { show: false } };
  }
  if (each.form === "holes") return { stroke: null, paths: () => null, points: { show: false } };
  if (each.form === "step") {
    return { stroke, width: 1.25, fill: () => tint(colour("--c" + each.mark), options.series.length > 1 ? 0 : 0.16), paths: steps, points: { show: false } };
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
  return hex + Math.round(share * 255).toString(16).padStart(2, "0");
}

/** Lines at moments, with words: behind the curves. */
function drawMarks(plot, options) {
  const { ctx, bbox } = plot;
  const ratio = window.devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textBaseline = "bottom";
  let free = -Infinity;
  for (const mark of [...(options.marks || [])].sort((one, other) => one.at - other.at)) {
    const { min, max } = plot.scales.x;
    if (mark.at < min || mark.at > max) continue;
    const x = Math.round(plot.valToPos(mark.at, "x", true)) + 0.5;
    ctx.strokeStyle = colour(mark.kind === "meaning" ? "--c5" : "--strong-line");
    ctx.fillStyle = colour(mark.kind === "meaning" ? "--c5" : "--soft");
    ctx.lineWidth = ratio;
    ctx.setLineDash(mark.kind === "meaning" ? [] : [4 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const wide = ctx.measureText(mark.text).width;
    const left = Math.min(x - 2 * ratio, bbox.left + bbox.width - wide);
    if (left < free) continue; // the words are in the list below as well
    ctx.fillText(mark.text, left, bbox.top - 2 * ratio);
    free = left + wide + 10 * ratio;
  }
  ctx.restore();
}

/** What falls is red: a dot on a curve, a block of a step. */
function drawFalls(plot, options, data) {
  const { ctx, bbox } = plot;
  const ratio = window.devicePixelRatio || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = colour("--fall");
  ctx.strokeStyle = colour("--fall");
  ctx.lineWidth = 2 * ratio;
  options.series.forEach((each) => {
    if (each.form === "holes") stack(plot, each);
    for (const place of each.falls || []) {
      const x = plot.valToPos(each.xs[place], "x", true);
      const y = plot.valToPos(each.ys[place], "y", true);
      const before = place > 0 ? plot.valToPos(each.xs[place - 1], "x", true) : x;
      if (each.form === "step" || each.form === "bars") {
        const ground = plot.valToPos(0, "y", true);
        ctx.fillRect(Math.min(before, x - 2 * ratio), Math.min(y, ground), Math.max(2 * ratio, x - before), Math.max(1.5 * ratio, Math.abs(ground - y)));
        continue;
      }
      if (place > 0 && each.ys[place - 1] !== null) {
        ctx.beginPath();
        ctx.moveTo(before, plot.valToPos(each.ys[place - 1], "y", true));
        ctx.lineTo(x, y);
        ctx.stroke();
      }
      ctx.beginPath();
      ctx.arc(x, y, 3.5 * ratio, 0, 7);
      ctx.fill();
    }
  });
  ctx.restore();
}

/** What is missing, on top of what is there. */
function stack(plot, each) {
  each.ys.forEach((value, place) => {
    if (!value) return;
    const step = each.xs.length > 1 ? each.xs[1] - each.xs[0] : 3600;
    const left = plot.valToPos(each.xs[place], "x", true);
    const right = plot.valToPos(each.xs[place] + step * 0.82, "x", true);
    const low = plot.valToPos(each.ground[place], "y", true);
    const high = plot.valToPos(each.ground[place] + value, "y", true);
    plot.ctx.fillRect(left, high, Math.max(1, right - left), Math.max(1, low - high));
  });
}

// Reading with the keyboard

function lastPlace(data) {
  for (let place = data[0].length - 1; place >= 0; place -= 1) {
    if (data.slice(1).some((ys) => ys[place] !== null && ys[place] !== undefined)) return place;
  }
  return 0;
}

function told(options, axis, data, place) {
  const parts = options.series.map((each, row) => [each, before(data[row + 1], place)]).filter(([, value]) => value !== null);
  return { at: axis.text(data[0][place]), parts };
}

/** The value at a place, or, of a series that was read at other times, the one before it; null in a gap or at its end. */
function before(ys, place) {
  if (ys[place] !== undefined) return ys[place];
  if (!ys.slice(place).some((value) => value !== undefined)) return null;
  while (place >= 0 && ys[place] === undefined) place -= 1;
  return place < 0 ? null : ys[place];
}

function tell(reading, options, axis, data, place) {
  const { at, parts } = told(options, axis, data, place);
  reading.replaceChildren(
    h("span", null, at),
    ...parts.map(([each, value]) => h("span", { class: "key" }, square(each.mark), h("span", { class: "name" }, each.name), h("b", null, (each.text || number)(value)))),
  );
}

function describe(canvas, options, axis, data, place) {
  const { at, parts } = told(options, axis, data, place);
  const values = parts.map(([each, value]) => `${each.name} ${(each.text || number)(value)}`).join(", ");
  canvas.setAttribute("aria-valuemax", String(Math.max(0, data[0].length - 1)));
  canvas.setAttribute("aria-valuenow", String(place));
  canvas.setAttribute("aria-valuetext", `${at}: ${values || "nothing"}`);
}

function readByKeyboard(canvas, options, axis, data) {
  const filled = (place) => data.slice(1).some((ys) => ys[place] !== null && ys[place] !== undefined);
  const move = (from, step) => {
    let place = from + step;
    while (place > 0 && place < data[0].length - 1 && !filled(place)) place += Math.sign(step);
    return Math.min(data[0].length - 1, Math.max(0, place));
  };
  canvas.addEventListener("keydown", (event) => {
    const plot = canvas.plot;
    if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const now = plot.cursor.idx ?? lastPlace(data);
    const wide = event.shiftKey ? 10 : 1;
    const steps = { ArrowLeft: -wide, ArrowRight: wide, ArrowDown: -wide, ArrowUp: wide, PageDown: -10, PageUp: 10 };
    if (event.key in steps) point(plot, data, move(now, steps[event.key]));
    else if (event.key === "Home") point(plot, data, move(-1, 1));
    else if (event.key === "End") point(plot, data, lastPlace(data));
    else if (event.key === "+" || event.key === "=") zoom(plot, data, data[0][now], 0.5);
    else if (event.key === "-") zoom(plot, data, data[0][now], 2);
    else if (event.key === "0" || event.key === "Escape") zoom(plot, data, data[0][now], Infinity);
    else return;
    event.preventDefault();
  });
}

function point(plot, data, place) {
  const at = data[0][place];
  const { min, max } = plot.scales.x;
  if (at < min || at > max) {
    const half = (max - min) / 2;
    scale(plot, at - half, at + half);
  }
  plot.setCursor({ left: plot.valToPos(at, "x"), top: plot.over.clientHeight / 2 });
}

function zoom(plot, data, middle, factor) {
  const first = data[0][0];
  const last = endOf(plot.options, data);
  const { min, max } = plot.scales.x;
  const half = ((max - min) / 2) * factor;
  if (!Number.isFinite(half) || half * 2 >= last - first) scale(plot, first, last);
  else scale(plot, Math.max(first, middle - half), Math.min(last, middle + half));
  plot.setCursor({ left: plot.valToPos(middle, "x"), top: plot.over.clientHeight / 2 });
}

function scale(plot, min, max) {
  const group = plot.cursor.sync && plot.cursor.sync.key;
  const plots = group ? [...drawn].filter((each) => each.cursor.sync && each.cursor.sync.key === group) : [plot];
  plots.forEach((each) => each.setScale("x", { min, max }));
}

// The table

let tables = 0;

function tableButton(options, axis) {
  const id = "table" + (tables += 1);
  const place = h("div", { id, hidden: true });
  const button = h("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": id }, "Table", h("span", { class: "unseen" }, ` of ${options.label}`));
  button.addEventListener("click", () => {
    const open = place.hidden;
    if (open && !place.children.length) place.append(tableOf(options, axis));
    place.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  });
  return [button, place];
}

function tableOf(options, axis) {
  const rows = options.series.flatMap((each) =>
    each.xs.map((at, place) => ({ at, name: each.name, value: each.ys[place], text: each.text || number, fall: (each.falls || []).includes(place), gap: each.ys[place] === null })),
  );
  const columns = [{ name: options.x === "age" ? "Age" : "Time (UTC)", cell: (row) => (options.x === "age" ? span(row.at) : time(row.at)) }];
  if (options.series.length > 1) columns.push({ name: "Series", cell: (row) => row.name });
  columns.push({
    name: options.series.length > 1 ? "Value" : options.series[0].name,
    number: true,
    cell: (row) => (row.gap ? h("span", { class: "soft" }, "gap") : row.fall ? h("span", { class: "falling" }, row.text(row.value), " (fall)") : row.text(row.value)),
  });
  return table(`${options.label}, as a table`, columns, rows);
}
