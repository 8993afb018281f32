// Which page is shown, and whether the server answers.

import * as datasets from "./datasets.js";
import * as jobs from "./jobs.js";
import * as job from "./job.js";
import * as models from "./models.js";
import { el, problem, show } from "./page.js";
import * as searches from "./searches.js";
import { ask } from "./server.js";
import * as train from "./train.js";

const PAGES = {
  jobs: (id) => (id ? job : jobs),
  searches: () => searches,
  models: () => models,
  datasets: () => datasets,
  train: () => train,
};

let leaving = new AbortController();
let moved = false;

/** Show the page that the address names; what the last one still did is stopped. */
async function enter() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [noun = "", id] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const found = PAGES[noun] ?? PAGES.jobs;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${noun || "jobs"}`;
    link.toggleAttribute("aria-current", here);
    if (here) link.setAttribute("aria-current", "page");
  }
  const page = document.getElementById("page");
  show(page, el("p", { class: "quiet" }, "Loading …"));
  try {
    await found(id).enter(page, id, signal);
  } catch (error) {
    if (!signal.aborted) show(page, problem(error));
  }
  const title = page.querySelector("h1")?.textContent;
  document.title = title ? `${title} · Frostline` : "Frostline";
  if (moved) page.focus({ preventScroll: true }); // a new page is read from its beginning
  moved = true;
}

async function watchConnection() {
  const place = document.getElementById("connection");
  for (;;) {
    let words, bad = true;
    try {
      const { data } = await ask("/v1/workers");
      const living = data.filter((one) => one.status !== "silent");
      bad = living.length === 0;
      words = bad ? "No worker: jobs wait" : `${living.length} ${living.length === 1 ? "worker" : "workers"}`;
    } catch (error) {
      words = error.status ? error.message : "The server does not answer";
    }
    if (place.textContent !== words) place.textContent = words;
    place.classList.toggle("bad", bad);
    await new Promise((resolve) => setTimeout(resolve, 5000));
  }
}

addEventListener("hashchange", enter);
enter();
watchConnection();
