// The reading of a chart that the cursor is at, in words: below the chart, and for screen readers; moved by keyboard.

import { scale, zoom } from "./axes.js";
import { square } from "./colours.js";
import { h } from "./dom.js";
import { number } from "./format.js";

/** The place of the newest reading. */
export function lastPlace(data) {
  for (let place = data[0].length - 1; place >= 0; place -= 1) {
    if (data.slice(1).some((ys) => ys[place] !== null && ys[place] !== undefined)) return place;
  }
  return 0;
}

/** The moment of a place in words, and the series that have a value there, each with it. */
function told(options, axis, data, place) {
  const parts = options.series
    .map((each, row) => [each, valueAt(data[row + 1], place)])
    .filter(([, value]) => value !== null);
  return { at: axis.text(data[0][place]), parts };
}

/** The value at a place, or, of a series that was read at other times, the one before it; null in a gap or at its end. */
function valueAt(ys, place) {
  if (ys[place] !== undefined) return ys[place];
  if (!ys.slice(place).some((value) => value !== undefined)) return null;
  return ys.slice(0, place).findLast((value) => value !== undefined) ?? null;
}

/** Write the values at a place below the chart. */
export function tell(reading, options, axis, data, place) {
  const { at, parts } = told(options, axis, data, place);
  reading.replaceChildren(
    h("span", null, at),
    ...parts.map(([each, value]) =>
      h(
        "span",
        { class: "key" },
        square(each.mark),
        h("span", { class: "name" }, each.name),
        h("b", null, (each.text || number)(value)),
      ),
    ),
  );
}

/** Tell them to a screen reader. */
export function describe(canvas, options, axis, data, place) {
  const { at, parts } = told(options, axis, data, place);
  const values = parts.map(([each, value]) => `${each.name} ${(each.text || number)(value)}`).join(", ");
  canvas.setAttribute("aria-valuemax", String(Math.max(0, data[0].length - 1)));
  canvas.setAttribute("aria-valuenow", String(place));
  canvas.setAttribute("aria-valuetext", `${at}: ${values || "nothing"}`);
}

/** Let the keyboard move the cursor, and zoom. */
export function readByKeyboard(canvas, options, axis, data) {
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
