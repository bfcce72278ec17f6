// The numbers of a chart as a table, behind a button.

import { h, table } from "./dom.js";
import { number, span, time } from "./format.js";

let tables = 0;

/** The button, and the place where the table appears; it is made when it is first asked for. */
export function tableButton(options) {
  const id = "table" + (tables += 1);
  const place = h("div", { id, hidden: true });
  const button = h(
    "button",
    { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": id },
    "Table",
    h("span", { class: "unseen" }, ` of ${options.label}`),
  );
  button.addEventListener("click", () => {
    const open = place.hidden;
    if (open && !place.children.length) place.append(tableOf(options));
    place.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  });
  return [button, place];
}

function tableOf(options) {
  const rows = options.series.flatMap((each) =>
    each.xs.map((at, place) => ({
      at,
      name: each.name,
      value: each.ys[place],
      text: each.text || number,
      fall: (each.falls || []).includes(place),
      gap: each.ys[place] === null,
    })),
  );
  const columns = [
    {
      name: options.x === "age" ? "Age" : "Time (UTC)",
      cell: (row) => (options.x === "age" ? span(row.at) : time(row.at)),
    },
  ];
  if (options.series.length > 1) columns.push({ name: "Series", cell: (row) => row.name });
  columns.push({
    name: options.series.length > 1 ? "Value" : options.series[0].name,
    number: true,
    cell: (row) =>
      row.gap
        ? h("span", { class: "soft" }, "gap")
        : row.fall
          ? h("span", { class: "falling" }, row.text(row.value), " (fall)")
          : row.text(row.value),
  });
  return table(`${options.label}, as a table`, columns, rows);
}
