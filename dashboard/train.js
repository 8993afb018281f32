// A spec: put together in a form, read and changed as text, checked, handed in.

import { advice } from "./advice.js";
import { input, settings, several, technique } from "./fields.js";
import { bytes, el, layerTable, number, problem, show } from "./page.js";
import { ask } from "./server.js";

const MAIN = ["name", "units", "filters", "kernel_size", "pool_size", "rate", "activation"];
const RECIPE = [
  ["optimizer", "optimizers"], ["schedule", "schedules"], ["gradient_clipping", "gradient_clipping"],
  ["loss", "losses"], ["averaging", "averaging"], ["mixing", "mixing"], ["pruning", "pruning"],
  ["class_weights", "class_weights"], ["sampling", "sampling"],
]; // a field of the training, and the family that it chooses from
const DENSE = { kind: "dense", units: 100 };
const SETTINGS = ["regularization", "early_stopping"]; // fields of the training without kinds
const OFTEN = 2; // of them are always in sight

export async function enter(page, source, signal) {
  const [{ data: families }, { data: datasets }, { data: models }] = await Promise.all(
    ["/v1/techniques", "/v1/datasets?limit=1000", "/v1/models?limit=1000"].map((path) => ask(path, { signal })));
  const family = (name) => families.find((one) => one.family === name);
  const text = el("textarea", { id: "spec", spellcheck: "false", oninput: () => { byHand = true; } });
  const answer = el("div", { "aria-live": "polite" });
  let byHand = false;

  const changed = () => {
    if (!byHand) text.value = JSON.stringify(read(), null, 2);
  };
  const plain = (name, hint, schema, more = {}) =>
    input({ name, description: hint, required: false, default: null, ...more }, schema, changed);
  const choice = (name, hint, options) => plain(name, hint, { enum: options });

  const name = plain("name", "Of the job and of the model it makes.", { type: "string" }, { required: true });
  const dataset = choice("data set", "What it learns from.", datasets.map((one) => `${one.name}@${one.version}`));
  const target = plain("target", "The column to predict; absent: the upload's own.", { type: "string" });
  const reused = choice("reuse the layers of", "A model of the catalog.", models.map((one) => `${one.name}@${one.version}`));
  const which = plain("layers", "A regular expression for their names, as hidden[12].", { type: "string" });
  const frozen = plain("freeze", "Those of them that shall not move.", { type: "string" });
  const epochs = plain("epochs", "At most; 100 if absent.", { type: "integer" }, { minimum: 1 });
  const batch = plain("batch size", "Examples per step; 64 if absent.", { type: "integer" }, { minimum: 1 });
  const recipe = RECIPE.map(([field, of]) => [field, technique(field.replace("_", " "), family(of), changed)]);

  const held = SETTINGS.map((field) => [field, settings(field.replace("_", " "), family(field), changed)]);
  const of = (name) => ({ kind }) => technique("kind", family(name), changed, { first: kind, main: MAIN });
  const augmentation = several("augmentation", { kind: "noise" }, of("augmentation"), changed);
  const phases = several("phase", {}, () => settings("what differs in it", family("phases"), changed), changed);
  const layers = several("layer", DENSE, of("layers"), changed);

  function read() {
    const reuse = reused.read() && without({ from: reused.read(), layers: which.read(), freeze: frozen.read() });
    const training = without({
      ...Object.fromEntries([...recipe, ...held].map(([field, one]) => [field, one.read()])),
      augmentation: augmentation.read(), epochs: epochs.read(), batch_size: batch.read(),
    });
    return without({
      name: name.read(),
      dataset: without({ id: dataset.read(), target: target.read() }),
      network: { layers: layers.read() ?? [] },
      reuse: reuse ? [reuse] : undefined, phases: phases.read(),
      training: Object.keys(training).length ? training : undefined,
    });
  }

  /** Write an advised spec into the form, as far as it has a place there, and the text. */
  function take(spec) {
    const training = spec.training ?? {};
    const object = (value) => (typeof value === "string" ? { kind: value } : value ?? {});
    layers.fill(spec.network.layers);
    augmentation.fill(training.augmentation ?? []);
    phases.fill(spec.phases ?? []);
    set(name, spec.name);
    set(target, typeof spec.dataset.target === "string" ? spec.dataset.target : undefined);
    set(epochs, training.epochs);
    set(batch, training.batch_size);
    for (const [field, one] of [...recipe, ...held]) one.fill(object(training[field]));
    byHand = true;
    text.value = JSON.stringify(spec, null, 2);
  }

  async function send(query, then) {
    show(answer, el("p", {}, "Checking …"));
    try {
      then(await ask(`/v1/jobs${query}`, { method: "POST", body: text.value, signal }));
    } catch (error) {
      show(answer, problem(error));
    }
  }

  const group = (title, ...content) => el("fieldset", {}, el("legend", {}, title), content);
  const grid = (...fields) => el("div", { class: "fields" }, fields.map((one) => one.node));
  show(page,
    el("h1", {}, "Train a network"),
    el("form", { novalidate: true, onsubmit: (event) => {
      event.preventDefault();
      send("", (job) => { location.hash = `#/jobs/${encodeURIComponent(job.id)}`; });
    } },
    group("What", grid(name, dataset, target),
      advice(() => without({ dataset: dataset.read(), target: target.read(), name: name.read() }), take, signal)),
    group("Layers", el("p", { class: "quiet" }, "From the input upwards; the output layer follows from the target."),
      layers.node),
    group("Reuse", grid(reused, which, frozen)),
    group("Training", grid(epochs, batch), recipe.slice(0, OFTEN).map(([, one]) => one.node),
      held.map(([, one]) => one.node),
      el("details", {}, el("summary", {}, "Augmentation"), augmentation.node),
      el("details", {}, el("summary", {}, "More"), recipe.slice(OFTEN).map(([, one]) => one.node))),
    group("Phases", el("p", { class: "quiet" }, "Stages one after the other; without any there is one. A phase is as the training above, but for what it says."),
      phases.node),
    el("label", { for: "spec" }, "The spec: change it here as well, the server takes this text"), text,
    el("div", { class: "bar" },
      el("button", { type: "button", onclick: () => { byHand = false; changed(); } }, "Write it from the form again"),
      el("button", { type: "button", onclick: () => send("?dry_run=true", (found) => show(answer, dry(found))) }, "Check"),
      el("button", { class: "primary" }, "Train")),
    answer));

  const begun = source ? await beginning(source, datasets, signal) : {};
  layers.fill(begun.layers ?? [DENSE, DENSE]);
  set(reused, begun.model);
  set(which, begun.which);
  set(frozen, begun.which);
  set(dataset, begun.dataset && `${begun.dataset.name}@${begun.dataset.version}`);
  changed();
}

/** The network of a model, to begin with when its layers are to be reused. */
async function beginning(id, datasets, signal) {
  const model = await ask(`/v1/models/${encodeURIComponent(id)}`, { signal });
  const job = model.job ? await ask(`/v1/jobs/${encodeURIComponent(model.job)}`, { signal }) : null;
  const names = (model.layers ?? []).filter((one) => one.parameters > 0 && one.name !== "output").map((one) => one.name);
  return {
    model: `${model.name}@${model.version}`, which: names.join("|"),
    layers: job?.spec?.network?.layers, dataset: datasets.find((one) => one.id === model.dataset),
  };
}

function set(field, value) {
  if (value) field.node.querySelector("input, select").value = value;
}

function without(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function dry(found) {
  return [
    el("h2", {}, "It would be trained like this"),
    layerTable("Layers", found.layers ?? []),
    el("p", {}, `${number(found.parameters)} parameters`, found.memory?.bytes ? `, about ${bytes(found.memory.bytes)} of memory` : ""),
    (found.warnings ?? []).map((one) => el("p", { class: "note" }, one.detail ?? one)),
  ];
}
