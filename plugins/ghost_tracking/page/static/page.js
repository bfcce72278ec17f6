// The frame around every page: which one is asked for, the navigation, and what is shown when it cannot be had.

import { address, h, present, say } from "./dom.js";
import { showCoverage } from "./coverage.js";
import { showMovers } from "./movers.js";
import { showOverview } from "./overview.js";
import { showVideo } from "./video.js";

const PAGES = {
  overview: { name: "Overview", show: showOverview },
  video: { name: "Videos", show: showVideo },
  movers: { name: "Movers", show: showMovers },
  coverage: { name: "Coverage", show: showCoverage },
};

const asked = new URLSearchParams(location.search);
const name = Object.hasOwn(PAGES, asked.get("page") || "") ? asked.get("page") : "overview";
const content = document.getElementById("content");

for (const [each, page] of Object.entries(PAGES)) {
  const href = address({ page: each });
  document
    .getElementById("pages")
    .append(h("li", null, h("a", { href, "aria-current": each === name ? "page" : null }, page.name)));
}
document.title = `${PAGES[name].name} · Ghost Tracking`;
document.getElementById("q").value = asked.get("q") || "";

class NotAnswered extends Error {}

const PATIENCE = 30;
const TOO_MANY = 429;

/** The server's answer; one that is busy is asked again when it says so, for half a minute. */
async function answered(path) {
  for (let waited = 0; ;) {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    if (answer.status !== TOO_MANY || waited >= PATIENCE) return answer;
    const seconds = Math.max(1, Number(answer.headers.get("retry-after")) || 1);
    waited += seconds;
    // not all at the same moment
    await new Promise((resume) => setTimeout(resume, 1000 * seconds * (0.75 + Math.random() / 2)));
  }
}

/** What a data route answers; NotAnswered with a sentence for people where it does not. */
async function ask(path, parameters) {
  let answer;
  try {
    answer = await answered("data/" + path + (parameters ? address(parameters) : ""));
  } catch {
    throw new NotAnswered("Airflow's API server does not answer. Check that it is running.");
  }
  if (answer.status === 401 || answer.status === 403) {
    throw new NotAnswered("Airflow denied access. Sign in again as a user who may see plugins.");
  }
  const type = answer.headers.get("content-type") || "";
  if (!type.startsWith("application/json"))
    throw new NotAnswered(`Airflow answered ${answer.status}, which this page cannot show.`);
  const found = await answer.json();
  if (!answer.ok) throw new NotAnswered(found.error || `Airflow answered ${answer.status}.`);
  return found;
}

async function show() {
  const waiting = h("p", { class: "waiting" }, "Reading …");
  const patience = setTimeout(() => content.children.length || content.append(waiting), 150);
  try {
    const shown = await PAGES[name].show({ asked, ask });
    clearTimeout(patience);
    content.replaceChildren(...present([shown]));
    content.dataset.ready = "yes";
  } catch (error) {
    clearTimeout(patience);
    const sentence =
      error instanceof NotAnswered ? error.message : "This page could not be drawn. Reloading it may help.";
    if (!(error instanceof NotAnswered)) console.error(error);
    content.replaceChildren(
      h(
        "div",
        { class: "health broken", role: "alert" },
        h("span", { class: "sign", "aria-hidden": "true" }, "×"),
        h("h1", null, "This page cannot be shown."),
        h("p", null, sentence),
      ),
    );
    content.dataset.ready = "failed";
    say(sentence);
  }
}

await show();
