// What is drawn over and under the curves of a chart: lines at moments, falls, holes.

import { colour } from "./colours.js";

/** Lines at moments, with words: behind the curves. */
export function drawMarks(plot, options) {
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
export function drawFalls(plot, options) {
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
    ctx.fillStyle = colour("--fall");
    for (const place of each.falls || []) {
      const x = plot.valToPos(each.xs[place], "x", true);
      const y = plot.valToPos(each.ys[place], "y", true);
      const last = place > 0 ? plot.valToPos(each.xs[place - 1], "x", true) : x;
      if (each.form === "step" || each.form === "bars") {
        const ground = plot.valToPos(0, "y", true);
        ctx.fillRect(
          Math.min(last, x - 2 * ratio),
          Math.min(y, ground),
          Math.max(2 * ratio, x - last),
          Math.max(1.5 * ratio, Math.abs(ground - y)),
        );
        continue;
      }
      if (place > 0 && each.ys[place - 1] !== null) {
        ctx.beginPath();
        ctx.moveTo(last, plot.valToPos(each.ys[place - 1], "y", true));
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

/** What is missing or left out, on top of what is there. */
function stack(plot, each) {
  plot.ctx.fillStyle = colour(each.mark === "skip" ? "--skip" : "--fall");
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
