// The list of jobs, new ones first, kept up to date.

import { el, jobLink, modelLink, number, problem, show, status, table, time, duration } from "./page.js";
import { ask } from "./server.js";

const LOOK_MILLISECONDS = 1500;

export async function enter(page, _, signal) {
  const list = el("div");
  const chosen = el("select", { id: "status", onchange: () => look() },
    el("option", { value: "" }, "all"),
    ["queued", "running", "paused", "succeeded", "failed", "cancelled"].map((word) => el("option", {}, word)));
  show(page,
    el("h1", {}, "Jobs"),
    el("div", { class: "bar" },
      el("label", { for: "status" }, "Status"), chosen,
      el("a", { class: "button", href: "#/train" }, "Train a network")),
    list);

  async function look() {
    try {
      const asked = chosen.value ? `&status=${chosen.value}` : "";
      const { data, has_more: more } = await ask(`/v1/jobs?limit=100${asked}`, { signal });
      show(list, rows(data), more ? el("p", { class: "quiet" }, "The newest 100 are shown.") : null);
    } catch (error) {
      if (!signal.aborted) show(list, problem(error));
    }
  }

  await look();
  const timer = setInterval(() => document.hidden || list.contains(document.activeElement) || look(), LOOK_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function rows(jobs) {
  return table("Jobs, newest first", ["Name", "Status", "Progress", "Model", "Made"], jobs.map((job) => [
    jobLink(job.id, job.name), status(job.status), progress(job),
    job.model ? modelLink(job.model, "model") : "", time(job.created_at),
  ]), "No job yet.");
}

/** How far a job is, as a bar and in words. */
export function progress(job) {
  const found = job.progress ?? {};
  if (job.status === "queued") {
    return job.waits_for?.length ? "waits for its stages" : found.queue_position ? `number ${found.queue_position} in the queue` : "";
  }
  if (!["running", "pausing", "cancelling"].includes(job.status)) {
    return job.error ?? "";
  }
  const words = [
    found.phase, found.epoch ? `epoch ${number(found.epoch)}` : null,
    found.eta_seconds ? `at most ${duration(found.eta_seconds)} to go` : null,
  ].filter(Boolean).join(", ");
  return [
    el("progress", { max: 100, value: found.percent ?? null, "aria-label": `${job.name}: share of the epochs done` }),
    el("div", { class: "quiet" }, words),
  ];
}
