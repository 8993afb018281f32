// The catalog: find a model, look into it, ask it, take it home.

import { bytes, datasetLink, el, facts, jobLink, layerTable, modelLink, number, problem, show, table, time } from "./page.js";
import { ask, askPatiently, save } from "./server.js";

export async function enter(page, id, signal) {
  await (id ? one(page, id, signal) : list(page, signal));
}

async function list(page, signal) {
  const found = el("div");
  const words = el("input", { id: "words", type: "search", oninput: () => look() });
  show(page, el("h1", {}, "Models"),
    el("div", { class: "bar" }, el("label", { for: "words" }, "Search"), words), found);
  async function look() {
    const asked = words.value;
    try {
      const { data } = await ask(`/v1/models?limit=100${asked ? `&q=${encodeURIComponent(asked)}` : ""}`, { signal });
      if (asked === words.value) show(found, rows(data));
    } catch (error) {
      if (!signal.aborted) show(found, problem(error));
    }
  }
  await look();
}

function rows(models) {
  return table("Models, newest first", ["Name", "Task", ">Accuracy", ">Loss", ">Parameters", "Aliases", "Made"], models.map((model) => [
    modelLink(model.id, `${model.name}@${model.version}`), model.task,
    number(final(model, "accuracy")), number(final(model, "loss")), number(model.parameters),
    model.aliases.join(", "), time(model.created_at),
  ]), "No model yet: a job that succeeds makes one.");
}

function final(model, suffix) {
  for (const part of ["test", "validation", "train"]) {
    const value = model.metrics[`${part}_${suffix}`];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

async function one(page, id, signal) {
  const path = `/v1/models/${encodeURIComponent(id)}`;
  const model = await ask(path, { signal });
  show(page,
    el("h1", {}, `${model.name}@${model.version}`),
    el("div", { class: "bar" },
      el("a", { class: "button", href: `#/train/${encodeURIComponent(model.id)}` }, "Train on its layers")),
    facts([
      ["Model", el("code", {}, model.id)], ["Aliases", model.aliases.join(", ")], ["Task", model.task],
      ["Made by", model.job ? jobLink(model.job) : null], ["Data set", model.dataset ? datasetLink(model.dataset) : null],
      ["Description", model.description], ["Tags", model.tags.join(", ")], ["Made", time(model.created_at)],
    ]),
    el("h2", {}, "Metrics"),
    facts(Object.entries(model.metrics).sort().map(([name, value]) => [name.replaceAll("_", " "), number(value)])),
    el("h2", {}, "Network"), layerTable("Layers, lowest first", model.layers ?? []),
    el("h2", {}, "Ask it"), predicting(path, model, signal),
    el("h2", {}, "Files"), files(path, model));
}

function predicting(path, model, signal) {
  const rowsBox = el("textarea", { id: "rows", spellcheck: "false" });
  const answer = el("div", { "aria-live": "polite" });
  const form = el("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      const rows = JSON.parse(rowsBox.value);
      const body = Array.isArray(rows) ? { rows } : rows;
      const found = await askPatiently(`${path}/predict`, { method: "POST", body, signal });
      show(answer, el("pre", {}, JSON.stringify(found, null, 2)));
    } catch (error) {
      show(answer, problem(error));
    }
  } },
  el("label", { for: "rows" }, "Rows as JSON, in the form of the data set"), rowsBox,
  el("button", {}, "Predict"), answer);
  if (model.dataset) {
    ask(`/v1/datasets/${encodeURIComponent(model.dataset)}/preview?limit=1`, { signal })
      .then((preview) => { if (!rowsBox.value) rowsBox.value = JSON.stringify(preview.rows); })
      .catch(() => { /* a preview is a convenience */ });
  }
  return form;
}

function files(path, model) {
  return table("Files", ["Name", ">Size", "SHA-256", ""], Object.entries(model.files).sort().map(([name, file]) => [
    name, bytes(file.bytes), el("code", {}, (file.sha256 ?? "").slice(0, 16)),
    el("button", { type: "button", "aria-label": `Save ${name}`, onclick: () => save(`${path}/files/${encodeURIComponent(name)}`, name) }, "Save"),
  ]));
}
