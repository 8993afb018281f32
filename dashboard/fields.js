// Inputs that are drawn from what GET /v1/techniques says, so that a technique that is
// added to the service appears here by itself.

import { el } from "./page.js";

let made = 0;

/** An input for one field of a technique: `{ node, read() }`; absent is undefined. */
export function input(field, schema, changed) {
  const id = `field-${(made += 1)}`;
  const types = kinds(schema);
  const hint = [field.description, field.default === null || field.default === undefined ? "" : `Default: ${JSON.stringify(field.default)}.`].join(" ");
  const node = control(id, field, types, changed);
  return {
    node: el("div", { class: "field" },
      el("label", { for: id }, field.name.replaceAll("_", " ")), node, el("small", { id: `${id}-hint` }, hint)),
    read: () => value(node.value, types),
  };
}

function control(id, field, types, changed) {
  const shared = { id, "aria-describedby": `${id}-hint`, required: field.required, oninput: changed };
  if (types.choices) {
    return el("select", shared, el("option", { value: "" }, ""), types.choices.map((one) => el("option", {}, String(one))));
  }
  if (types.boolean) {
    return el("select", shared, ["", "true", "false"].map((one) => el("option", {}, one)));
  }
  if (types.numeric) {
    return el("input", { ...shared, type: "number", step: types.integer ? 1 : "any",
      min: field.minimum ?? field.exclusive_minimum, max: field.maximum ?? field.exclusive_maximum });
  }
  return el("input", { ...shared, spellcheck: "false" });
}

/** What a field may hold, of all the alternatives that its schema offers. */
function kinds(schema) {
  const parts = schema?.anyOf ?? [schema ?? {}];
  const types = new Set(parts.map((part) => part.type).filter((type) => type && type !== "null"));
  const only = (type) => types.has(type) && types.size === 1;
  return {
    choices: parts.length === 1 ? parts[0].enum : undefined,
    boolean: only("boolean"),
    integer: only("integer"),
    numeric: only("integer") || only("number"),
    text: only("string"),
  };
}

function value(written, types) {
  const trimmed = written.trim();
  if (trimmed === "") return undefined;
  if (types.numeric) return Number(trimmed);
  if (types.boolean) return trimmed === "true";
  if (types.text || types.choices) return trimmed;
  try {
    return JSON.parse(trimmed); // [3, 3], {"kind": "leaky_relu"}, 2
  } catch {
    return trimmed; // elu
  }
}

/** A technique of a family, with its parameters: `{ node, read() }`. */
export function technique(label, family, changed, { first = "", main = [] } = {}) {
  const id = `field-${(made += 1)}`;
  const place = el("div");
  let inputs = [];
  const chosen = el("select", { id, oninput: () => { draw(); changed(); } },
    first === "" ? el("option", { value: "" }, "the default") : null,
    family.kinds.map((one) => el("option", { value: one.kind, selected: one.kind === first, title: one.summary }, one.kind)));

  function draw() {
    const found = family.kinds.find((one) => one.kind === chosen.value);
    inputs = (found?.fields ?? []).map((field) => ({
      field, ...input(field, found.json_schema.properties[field.name], changed),
    }));
    const shown = (one) => one.field.required || main.includes(one.field.name);
    const [plain, rest] = [inputs.filter(shown), inputs.filter((one) => !shown(one))];
    const more = main.length ? el("details", {}, el("summary", {}, "More"), el("div", { class: "fields" }, rest.map((one) => one.node)))
      : el("div", { class: "fields" }, rest.map((one) => one.node));
    place.replaceChildren(...[
      found ? el("p", { class: "quiet" }, `${found.summary}.`) : null,
      plain.length ? el("div", { class: "fields" }, plain.map((one) => one.node)) : null,
      rest.length ? more : null,
    ].filter(Boolean));
  }
  draw();
  return {
    node: el("div", {}, el("div", { class: "field alone" }, el("label", { for: id }, label), chosen), place),
    fill(values) {
      if (values.kind && values.kind !== chosen.value) {
        chosen.value = values.kind;
        draw();
      }
      write(inputs, values);
    },
    read: () => (chosen.value ? { kind: chosen.value, ...given(inputs) } : undefined),
  };
}

/** The fields of a family that has no kinds to choose from: `{ node, fill, read }`. */
export function settings(label, family, changed) {
  const [only] = family.kinds;
  const inputs = only.fields.map((field) => ({
    field, ...input(field, only.json_schema.properties[field.name], changed),
  }));
  return {
    node: el("details", {}, el("summary", {}, label), el("p", { class: "quiet" }, `${only.summary}.`),
      el("div", { class: "fields" }, inputs.map((one) => one.node))),
    fill: (values) => write(inputs, values),
    read() {
      const found = given(inputs);
      return Object.keys(found).length ? found : undefined;
    },
  };
}

/** Several of one family, each to be removed: `{ node, fill, read }`; none is undefined.
    `fresh` is what a new one begins with. */
export function several(word, fresh, made, changed) {
  const all = [];
  const list = el("div");
  function add(values = fresh) {
    const one = made(values);
    one.fill(values);
    const row = el("div", { class: "layer" }, one.node,
      el("div", { class: "bar" }, el("button", { type: "button", onclick: () => {
        all.splice(all.indexOf(one), 1);
        row.remove();
        changed();
      } }, `Remove this ${word}`)));
    all.push(one);
    list.append(row);
    changed();
  }
  return {
    node: el("div", {}, list,
      el("div", { class: "bar" }, el("button", { type: "button", onclick: () => add() }, `Add ${/^[aeiou]/.test(word) ? "an" : "a"} ${word}`))),
    fill(values) {
      all.length = 0;
      list.replaceChildren();
      for (const one of values) add(typeof one === "string" ? { kind: one } : one);
    },
    read: () => (all.length ? all.map((one) => one.read() ?? {}) : undefined),
  };
}

function write(inputs, values) {
  for (const { field, node } of inputs) {
    const found = values[field.name];
    const box = node.querySelector("input, select");
    if (found !== undefined && found !== null) box.value = typeof found === "object" ? JSON.stringify(found) : String(found);
  }
}

function given(inputs) {
  const found = inputs.map(({ field, read }) => [field.name, read()]);
  return Object.fromEntries(found.filter(([, one]) => one !== undefined));
}
