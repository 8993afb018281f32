// What the training doctor says of a job: findings with their patches, layers' health.

import { el, number, table } from "./page.js";

/** The findings of a job; `clone(patch)` makes a job of it with a patch. */
export function findings(found, clone) {
  if (!found?.length) return null;
  return el("section", { "aria-label": "Findings" },
    el("h2", {}, "What the training doctor found"),
    el("ul", { class: "findings" }, found.map((one) => finding(one, clone))));
}

function finding(one, clone) {
  const button = one.patch
    ? el("button", { type: "button", onclick: () => clone(one.patch) }, "Clone with this fix") : null;
  return el("li", { class: `finding ${one.severity}` },
    el("p", {}, el("span", { class: `status ${one.severity}` }, one.severity), " ",
      el("strong", {}, one.code.replaceAll("_", " ")),
      one.layer ? [" in ", el("code", {}, one.layer)] : null,
      one.cause ? el("span", { class: "quiet" }, ` because of ${one.cause.replaceAll("_", " ")}`) : null,
      el("span", { class: "quiet" }, ` at step ${number(one.step)}`)),
    el("p", {}, one.detail),
    el("details", {}, el("summary", {}, "Evidence and fix"),
      el("pre", {}, JSON.stringify({ evidence: one.evidence, patch: one.patch }, null, 2))),
    button);
}

/** A table of the newest figures of every layer that is watched. */
export function health(layers) {
  const known = (layers ?? []).filter((layer) => layer.health);
  if (!known.length) return null;
  const step = known[0].health.step;
  const share = (value) => (value === null || value === undefined ? "" : `${number(100 * value, 3)} %`);
  return table(`Health of the layers at step ${number(step)}`,
    ["Layer", ">Mean", ">Deviation", ">Dead", ">Saturated", ">Gradient", ">To the layer below", ">Update to weight"],
    known.map(({ name, health: one }) => [
      el("code", {}, name), number(one.activation_mean), number(one.activation_deviation),
      share(one.dead), share(one.saturated), number(one.gradient_norm),
      number(one.gradient_ratio), number(one.update_ratio),
    ]));
}
