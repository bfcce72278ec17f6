// The sentence that says whether all is well, and what to do where it is not.

import { airflowLink, h } from "./dom.js";

const SIGNS = { well: "✓", watch: "!", broken: "×" };

export function health({ health: said }) {
  const advice = (each) => [each.action, each.path ? [" ", airflowLink(each.path, "Open in Airflow"), "."] : null];
  return h(
    "div",
    { class: `health ${said.level}` },
    h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[said.level]),
    h("h1", null, said.sentence),
    said.action ? h("p", null, advice(said)) : h("p", { class: "soft" }, "Nothing to do."),
    said.others.length
      ? h(
          "ul",
          null,
          said.others.map((each) => h("li", null, each.sentence, " ", advice(each))),
        )
      : null,
  );
}
