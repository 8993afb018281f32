// One job: live progress, its curves, its layers, what it proved.

import { chart } from "./chart.js";
import { findings, health } from "./doctor.js";
import { progress } from "./jobs.js";
import { bytes, datasetLink, el, facts, layerTable, modelLink, number, problem, show, status, table, time } from "./page.js";
import { ask, follow, text } from "./server.js";

const LOOK_MILLISECONDS = 500;
const ENDED = ["succeeded", "failed", "cancelled"];
const ACTIONS = {
  queued: ["pause", "cancel"], running: ["checkpoint", "pause", "cancel"], pausing: ["cancel"],
  paused: ["resume", "cancel"], failed: ["retry"], cancelled: ["retry"], succeeded: ["retry"], cancelling: [],
};

export async function enter(page, id, signal) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  let job = await ask(path, { signal });
  const { data: layers } = await ask(`${path}/layers`, { signal });
  const places = Object.fromEntries(
    ["actions", "about", "findings", "charts", "health", "events", "trouble"].map((name) => [name, el("div")]));
  const live = el("p", { role: "status" });
  const values = new Map();

  show(page,
    el("h1", {}, job.name), live, places.trouble, places.actions, places.about, places.findings,
    places.charts, places.health, layers.length ? layerTable("Layers", layers) : null,
    el("h2", {}, "History"), places.events,
    folded("Match table of reused layers", () => matches(job.reuse), job.reuse?.length),
    folded("Spec as it was sent", () => el("pre", {}, JSON.stringify(job.spec, null, 2))),
    folded("Spec with every default", () => el("pre", {}, JSON.stringify(job.resolved_spec, null, 2))),
    folded("Log of the training process", () => log(path, signal)));

  async function act(verb, body) {
    try {
      const changed = await ask(`${path}/${verb}`, { method: "POST", body, signal });
      if (changed.id !== id) { location.hash = `#/jobs/${encodeURIComponent(changed.id)}`; return; }
      show(places.trouble);
      draw(changed);
      look();
    } catch (error) {
      show(places.trouble, problem(error));
    }
  }

  let drawn = "", heard = "";
  function draw(found) {
    job = found;
    const told = JSON.stringify(job.diagnostics ?? []);
    if (told !== heard) { // else what somebody has unfolded would close again
      heard = told;
      show(places.findings, findings(job.diagnostics, (patch) => act("clone", patch)));
    }
    const state = [job.status, job.model, job.attempt, job.waits_for, job.stages?.map((one) => one.status)].join();
    show(live, status(job.status), " ", job.status === "succeeded" ? "" : progress(job));
    if (state === drawn) return;
    drawn = state;
    show(places.actions, el("div", { class: "bar" }, (ACTIONS[job.status] ?? []).map((verb) =>
      el("button", { type: "button", onclick: () => act(verb) }, verb))));
    show(places.about, about(job));
  }

  async function feel() {
    const { data } = await ask(`${path}/layers`, { signal });
    show(places.health, health(data));
  }

  let looking = false;
  async function look() {
    if (looking) return;
    looking = true;
    try {
      while (!signal.aborted) {
        draw(await ask(path, { signal }));
        await feel();
        if (ENDED.includes(job.status) || job.status === "paused") break;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
      }
    } catch { /* the stream of events tries again */ } finally { looking = false; }
  }

  const history = el("ul", { class: "history" });
  show(places.events, history);
  let due = false;
  function take(type, data) {
    if (type === "metrics") {
      for (const row of data.rows ?? [data]) {
        if (!values.has(row.name)) values.set(row.name, new Map());
        values.get(row.name).set(row.step, row.value);
      }
      if (!due) {
        due = true;
        requestAnimationFrame(() => { due = false; show(places.charts, curves(values)); });
      }
      return;
    }
    if (type === "done") { ask(path, { signal }).then(draw, () => {}); feel().catch(() => {}); return; }
    history.append(el("li", {}, el("strong", {}, type), " ", sentence(type, data)));
    if (type === "status") look();
  }

  draw(job);
  follow(id, take, signal);
  look();
}

function jobLink(id, words) {
  return el("a", { href: `#/jobs/${encodeURIComponent(id)}` }, words);
}

function about(job) {
  const same = (job.frozen ?? []).filter((one) => one.before === one.after).length;
  const cache = job.cache ?? {};
  return facts([
    ["Job", el("code", {}, job.id)],
    ["Model", job.model ? modelLink(job.model) : null],
    ["Stages", job.stages?.length ? el("ol", { class: "chain" }, job.stages.map((one) => el("li", {}, jobLink(one.id, one.name), " ", status(one.status)))) : null],
    ["Waits for", job.waits_for?.length ? job.waits_for.map((one) => jobLink(one, one)) : null],
    ["Stage of", job.stage_of?.length ? job.stage_of.map((one) => jobLink(one, one)) : null],
    ["Data set", job.dataset ? datasetLink(job.dataset) : null],
    ["Made", time(job.created_at)], ["Started", time(job.started_at)], ["Ended", time(job.ended_at)],
    ["Attempts", (job.attempts ?? []).length > 1 ? String(job.attempts.length) : null],
    ["Why", job.reason], ["What to do", job.error],
    ["Frozen tensors", job.frozen?.length ? `${same} of ${job.frozen.length} unmoved, by SHA-256 before and after` : null],
    ["Frozen cache", job.frozen?.length ? cache.summary ?? null : null],
  ]);
}

function curves(values) {
  const suffixes = new Set();
  for (const name of values.keys()) {
    const found = name.match(/^(train|validation)_(.+)$/);
    if (found) suffixes.add(found[2]);
  }
  const drawn = [...suffixes].map((suffix) => chart(suffix.replaceAll("_", " "),
    ["train", "validation"].map((part) => ({
      name: part, class: part,
      points: [...(values.get(`${part}_${suffix}`) ?? [])].filter(([, value]) => value !== null).sort(([a], [b]) => a - b),
    }))));
  const final = [...values].filter(([name]) => name.startsWith("test_"))
    .map(([name, steps]) => [name.replaceAll("_", " "), number([...steps.values()].at(-1))]);
  return [drawn.some(Boolean) ? el("div", { class: "charts" }, drawn.filter(Boolean)) : null, final.length ? facts(final) : null];
}

function sentence(type, data) {
  if (type === "status") return [data.status, data.cause ?? data.reason].filter(Boolean).join(": ");
  if (type === "checkpoint") return `at step ${number(data.step)}${data.bytes ? `, ${bytes(data.bytes)}` : ""}`;
  if (type === "diagnostic" && data.severity) return `${data.severity}: ${data.detail}`;
  return data.message ?? data.detail ?? JSON.stringify(data);
}

function matches(rows) {
  return table("What became of each layer", ["Layer", "", "From", "Why"], rows.map((row) => [
    row.layer, el("span", { class: row.state }, row.state),
    row.source ? modelLink(row.source) : "", row.reason ?? "",
  ]));
}

function log(path, signal) {
  const place = el("pre", {}, "Loading …");
  text(`${path}/logs`, signal).then(
    (found) => show(place, document.createTextNode(found || "Nothing was written.")),
    (error) => show(place, document.createTextNode(error.message)));
  return place;
}

function folded(title, content, wanted = true) {
  if (!wanted) return null;
  const place = el("div");
  return el("details", { ontoggle: (event) => event.target.open && show(place, content()) }, el("summary", {}, title), place);
}
