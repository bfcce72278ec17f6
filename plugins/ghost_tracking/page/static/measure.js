// A bar: how much of a whole.

import { h } from "./dom.js";

/** A bar: how much of a whole; the line is something to compare it with. */
export function measure(words, share, label, line, kind) {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = make("svg", { "aria-hidden": "true" });
  svg.append(
    make("rect", {
      x: "0",
      y: "0",
      height: "100%",
      rx: "5",
      width: `${Math.min(100, Math.max(share > 0 ? 0.8 : 0, share * 100))}%`,
      class: kind || "",
    }),
  );
  if (line !== null) svg.append(make("line", { x1: `${line * 100}%`, x2: `${line * 100}%`, y1: "-4", y2: "14" }));
  return h(
    "div",
    { class: "measure" },
    h("div", { class: "row spread" }, words),
    h("div", { class: "rail", role: "img", "aria-label": label }, svg),
  );
}
