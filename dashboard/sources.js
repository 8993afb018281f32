// Which models to take layers from: ranked on a sample of a data set's rows.

import { el, modelLink, number, problem, show, table } from "./page.js";
import { ask } from "./server.js";

/** A form for a data set of which `columns` could be predicted, and the ranking. */
export function sources(dataset, columns, target, signal) {
  const answer = el("div", { "aria-live": "polite" });
  const chosen = el("select", { id: "source-target" }, columns.map((name) =>
    el("option", { value: name, selected: name === target }, name)));
  const few = el("input", { id: "source-examples", type: "number", min: 1 });
  const field = (node, label, hint) =>
    el("div", { class: "field" }, el("label", { for: node.id }, label), node, el("small", {}, hint));

  async function send(event) {
    event.preventDefault();
    show(answer, el("p", {}, "Trying the layers of every model …"));
    const body = { target: chosen.value, ...(few.value ? { examples_per_class: Number(few.value) } : {}) };
    const path = `/v1/datasets/${encodeURIComponent(dataset)}/recommend-sources`;
    try {
      show(answer, ranking(await ask(path, { method: "POST", body, signal })));
    } catch (error) {
      if (!signal.aborted) show(answer, problem(error));
    }
  }

  return el("form", { onsubmit: send },
    el("div", { class: "fields" },
      field(chosen, "Target", "The column to predict."),
      field(few, "Examples per class", "How many the job will have; absent: all.")),
    el("div", { class: "bar" }, el("button", {}, "Rank the models")), answer);
}

function ranking(found) {
  const rows = found.sources.map((one) => [
    number(one.rank), modelLink(one.model, one.reference), one.cut, number(one.depth),
    number(one.probe, 3), number(one.standard_error, 2), spec(one),
  ]);
  if (found.baseline) {
    rows.push(["", "the inputs themselves", "", "", number(found.baseline.probe, 3), number(found.baseline.standard_error, 2), ""]);
  }
  return [
    table("Sources, best first",
      [">", "Model", "Up to", ">Layers", `>${found.metric === "r2" ? "R²" : "Accuracy"}`, ">±", "Spec"], rows),
    found.warnings.map((one) => el("p", { class: "note" }, one)),
    found.left_out.length ? table("Not compared", ["Model", "Because"],
      found.left_out.map((one) => [modelLink(one.model, one.reference), one.detail])) : null,
    el("p", { class: "quiet" }, `A linear model on top of the frozen layers, on rows that it has not seen: ` +
      `${number(found.compared)} models in ${number(found.seconds, 2)} s.`),
  ];
}

/** The job that takes these layers, to read or to submit. */
function spec(one) {
  const place = el("span", {});
  const text = JSON.stringify(one.spec, null, 2);
  return el("details", {}, el("summary", {}, "Show"), el("pre", {}, text),
    el("button", { type: "button", onclick: async () => {
      try {
        const job = await ask("/v1/jobs", { method: "POST", body: text });
        location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
      } catch (error) {
        show(place, problem(error));
      }
    } }, "Train"), place);
}
