// Building blocks of pages. Text from the server becomes text nodes and nothing else,
// so that a name can hold any character and never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `el("a", { href: "#/jobs", class: "quiet" }, "Jobs")`. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** Put new content in place of the old. */
export function show(place, ...content) {
  place.replaceChildren(...content.flat(Infinity).filter(Boolean));
}

/** A table: heads are texts, those that begin with ">" are set to the right. */
export function table(caption, heads, rows, empty = "Nothing yet.") {
  if (!rows.length) return el("p", { class: "quiet" }, empty);
  const right = heads.map((head) => head.startsWith(">"));
  const cell = (tag, content, index) =>
    el(tag, { class: right[index] ? "number" : null, scope: tag === "th" ? "col" : null }, content ?? "");
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((head, i) => cell("th", head.replace(/^>/, ""), i)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((content, i) => cell("td", content, i)))))));
}

/** Names and values; those without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, known.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** What the server has against a request, every place of it named. */
export function problem(error) {
  const lines = (error.problems ?? []).map((one) =>
    el("li", {}, el("code", {}, one.pointer || "(the whole)"), ` ${one.detail}`,
      one.suggestion ? ` — ${one.suggestion}` : ""));
  return el("div", { class: "problem", role: "alert" }, error.message, lines.length ? el("ul", {}, lines) : null);
}

export const status = (word) => el("span", { class: `status ${word}` }, word);

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e-3 ? String(Number(value.toPrecision(digits))) : value.toExponential(2);
}

export function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value, unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function time(text) {
  return text ? el("time", { datetime: text }, new Date(text).toLocaleString()) : "";
}

export const shape = (sizes) => (sizes ?? []).join(" × ");

/** The layers of a network or of a dry run. */
export function layerTable(caption, layers) {
  return table(caption, ["Layer", "Kind", "Output", ">Parameters", "", "From"], layers.map((layer) => [
    layer.name, layer.kind, shape(layer.output_shape), number(layer.parameters),
    layer.frozen ? el("span", { class: "frozen" }, "frozen") : "",
    layer.source ? modelLink(layer.source) : "",
  ]));
}

export const modelLink = (id, text = id) => el("a", { href: `#/models/${encodeURIComponent(id)}` }, text);
export const jobLink = (id, text = id) => el("a", { href: `#/jobs/${encodeURIComponent(id)}` }, text);
export const datasetLink = (id, text = id) => el("a", { href: `#/datasets/${encodeURIComponent(id)}` }, text);
