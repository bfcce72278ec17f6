// Making elements, links between pages, and links into Airflow.

/** An element: h("p", { class: "x", onclick: f }, "text", child, null). Text is text, never markup. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Children as the browser takes them: lists of lists flattened, without what is not there, which it would write out. */
export function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** The address of a page of ours: what is null is left out. */
export function address(parameters) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  // ids and commas stay readable in an address that people share
  return "?" + query.toString().replaceAll("%2C", ",");
}

export function link(parameters, ...content) {
  return h("a", { href: address(parameters) }, ...content);
}

/** A link to a page of Airflow. We are in a frame that may not lead the page around it elsewhere, but that page may. */
export function airflowLink(path, ...content) {
  const href = new URL("../" + path, document.baseURI).href;
  return h("a", { href, onclick: leave }, ...content);
}

/** A link to somewhere else, in a window of its own. */
export function outerLink(href, ...content) {
  return h(
    "a",
    { href, onclick: (event) => leave(event, true), target: "_blank", rel: "noopener noreferrer" },
    ...content,
  );
}

function leave(event, elsewhere) {
  let outer = null;
  try {
    outer = window.parent !== window ? window.parent.document : null;
  } catch {
    outer = null;
  }
  if (!outer) return;
  event.preventDefault();
  const anchor = outer.createElement("a");
  anchor.href = event.currentTarget.href;
  if (elsewhere === true || event.metaKey || event.ctrlKey || event.shiftKey) anchor.target = "_blank";
  anchor.rel = "noopener noreferrer";
  outer.body.append(anchor);
  anchor.click();
  anchor.remove();
}

/** Tell those who listen to a screen reader. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** A section with a heading. `more` stands at the right of the heading. */
export function panel(title, attributes, more, ...content) {
  const id = "t" + (panel.count = (panel.count || 0) + 1);
  return h(
    "section",
    {
      ...attributes,
      class: ["panel", attributes && attributes.class].filter(Boolean).join(" "),
      "aria-labelledby": id,
    },
    h("div", { class: "head" }, h("h2", { id }, title), more || null),
    ...content,
  );
}

/** A table: columns are { name, is number, cell: row => content }; for people who scroll, in a box of its own. */
export function table(caption, columns, rows, attributes) {
  const cells = (row) =>
    columns.map((column, place) =>
      h(
        place === 0 ? "th" : "td",
        place === 0 ? { scope: "row" } : { class: column.number ? "number" : null },
        column.cell(row),
      ),
    );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption, ...attributes },
    h(
      "table",
      null,
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : null }, column.name)),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map((row) => h("tr", null, cells(row))),
      ),
    ),
  );
}
