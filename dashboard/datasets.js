// Data sets: upload one, see what is in it and what is wrong with it.

import { datasetLink, el, facts, number, problem, shape, show, table, time } from "./page.js";
import { ask } from "./server.js";
import { sources } from "./sources.js";

export async function enter(page, id, signal) {
  await (id ? one(page, id, signal) : list(page, signal));
}

async function list(page, signal) {
  const found = el("div");
  show(page, el("h1", {}, "Data sets"), uploading(signal), found);
  const { data } = await ask("/v1/datasets?limit=100", { signal });
  show(found, table("Data sets, newest first", ["Name", ">Rows", "Parts", "Added"], data.map((dataset) => [
    datasetLink(dataset.id, `${dataset.name}@${dataset.version}`), number(dataset.rows),
    (dataset.parts ?? []).map((part) => part.name).join(", "), time(dataset.created_at),
  ]), "No data set yet."));
}

function uploading(signal) {
  const trouble = el("div", { "aria-live": "polite" });
  const input = (id, more = {}) => el("input", { id, ...more });
  const files = input("files", { type: "file", multiple: true });
  const uri = input("uri", { placeholder: "sklearn:digits" });
  const name = input("name"), target = input("target");
  const button = el("button", { class: "primary" }, "Add");
  const field = (node, label, hint) =>
    el("div", { class: "field" }, el("label", { for: node.id }, label), node, el("small", {}, hint));
  return el("form", { onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    show(trouble, el("p", {}, "Uploading and checking …"));
    try {
      const added = await add(files.files, uri.value, name.value, target.value, signal);
      location.hash = `#/datasets/${encodeURIComponent(added.id)}`;
    } catch (error) {
      show(trouble, problem(error));
    } finally {
      button.disabled = false;
    }
  } },
  el("fieldset", {}, el("legend", {}, "Add a data set"),
    el("div", { class: "fields" },
      field(files, "Files", "CSV, TSV, Parquet, JSON Lines, npz, idx .gz, or a zip of image folders."),
      field(uri, "Or one the server knows", "A name like sklearn:digits."),
      field(name, "Name", "Absent: the file's."), field(target, "Target", "The column to predict.")),
    el("div", { class: "bar" }, button), trouble));
}

function add(files, uri, name, target, signal) {
  const options = Object.entries({ name, target }).filter(([, value]) => value);
  if (!files.length) {
    if (!uri) throw new Error("Choose a file, or write a name that the server knows.");
    return ask("/v1/datasets", { method: "POST", body: { uri, ...Object.fromEntries(options) }, signal });
  }
  const form = new FormData();
  for (const [key, value] of options) form.append(key, value);
  for (const file of files) form.append("file", file);
  return ask("/v1/datasets", { method: "POST", body: form, signal });
}

async function one(page, id, signal) {
  const dataset = await ask(`/v1/datasets/${encodeURIComponent(id)}`, { signal });
  const { columns = [], target } = dataset.schema ?? {};
  const findings = [...(dataset.report?.problems ?? []), ...(dataset.report?.warnings ?? [])];
  show(page,
    el("h1", {}, `${dataset.name}@${dataset.version}`),
    facts([
      ["Data set", el("code", {}, dataset.id)], ["Rows", number(dataset.rows)],
      ["Parts", (dataset.parts ?? []).map((part) => `${part.name} ${number(part.rows)}`).join(", ")],
      ["Target", target], ["Added", time(dataset.created_at)],
    ]),
    findings.length ? el("h2", {}, "What the check found") : null,
    findings.length ? el("ul", {}, findings.map((one) =>
      el("li", {}, one.row !== undefined ? `row ${one.row}: ` : "", one.detail, one.remedy ? `; ${one.remedy}` : ""))) : null,
    el("h2", {}, "Which model to start from"),
    sources(dataset.id, columns.filter((one) => !(one.shape ?? []).length).map((one) => one.name), target, signal),
    el("h2", {}, "Columns"),
    table("Columns", ["Name", "Kind", "Shape", ">Missing", ">Distinct", ">Least", ">Most", ">Mean"], columns.map((column) => [
      column.name, column.kind, shape(column.shape), number(column.missing), number(column.distinct),
      number(column.minimum), number(column.maximum), number(column.mean),
    ])));
}
