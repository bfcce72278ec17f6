// The colours of series, and the little squares that stand for them.

import { h } from "./dom.js";

/** A colour of the theme, as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const COLOURS = ["1", "2", "3", "4", "5", "6"];

/** The little square that stands for a series. */
export const key = (mark) => h("span", { class: "key" }, square(mark));

export function square(mark) {
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
