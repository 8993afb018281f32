// Searches: the list, and one with its trials as a table and as parallel coordinates.

import { duration, el, facts, jobLink, modelLink, number, problem, show, status, svg, table, time } from "./page.js";
import { ask } from "./server.js";

const LOOK_MILLISECONDS = 2000;
const WIDTH = 760, HEIGHT = 280, SIDE = 90, TOP = 34, BOTTOM = 24;

export async function enter(page, id, signal) {
  const place = el("div");
  show(page, place);
  async function look() {
    try {
      show(place, id ? await one(id, signal) : await all(signal));
    } catch (error) {
      if (!signal.aborted) show(place, problem(error));
    }
  }
  await look();
  const timer = setInterval(() => document.hidden || place.contains(document.activeElement) || look(), LOOK_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

const link = (id, text) => el("a", { href: `#/searches/${encodeURIComponent(id)}` }, text);
const words = (counts) => Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", ");
const spelled = (value) => (typeof value === "number" ? number(value) : JSON.stringify(value));

async function all(signal) {
  const { data } = await ask("/v1/searches?limit=100", { signal });
  return [el("h1", {}, "Searches"), table("Searches, newest first",
    ["Name", "Status", "Trials", ">Best", "Made"], data.map((found) => [
      link(found.id, found.name), status(found.status), words(found.counts),
      number(found.best?.value), time(found.created_at),
    ]), "No search yet. POST /v1/searches or frostline search start begins one.")];
}

async function one(id, signal) {
  const path = `/v1/searches/${encodeURIComponent(id)}`;
  const [found, { data, coordinates }] = await Promise.all([ask(path, { signal }), ask(`${path}/trials`, { signal })]);
  const places = found.result ? ["candidate", "epochs"] : Object.keys(found.request.space);
  const sign = found.mode === "max" ? -1 : 1;
  const order = (trial) => (trial.value === null ? Infinity : sign * trial.value);
  const sorted = data.toSorted((a, b) => order(a) - order(b) || a.number - b.number);
  const open = ["running", "cancelling"].includes(found.status);
  return [
    el("h1", {}, found.name),
    facts([["Status", status(found.status)], ["Error", found.error], ["Trials", words(found.counts)],
      ["Monitored", `${found.monitor} (${found.mode})`],
      ["Best trial", found.best && `number ${found.best.number}: ${number(found.best.value)}`],
      ["Its model", found.best?.model && modelLink(found.best.model)]]),
    found.result && el("p", {}, found.result.explanation),
    open ? el("div", { class: "bar" }, el("button", { type: "button", onclick: async (event) => {
      event.target.disabled = true;
      await ask(`${path}/cancel`, { method: "POST" });
    } }, "Cancel")) : null,
    lines(coordinates, found.best?.number),
    table("Trials, best first", [">Trial", "Status", `>${found.monitor}`, ">Best epoch", ">Time", ...places, "Job"],
      sorted.map((trial) => [
        number(trial.number), status(trial.status), number(trial.value), number(trial.best_epoch),
        duration(trial.seconds), ...places.map((place) => spelled(trial.parameters[place])),
        trial.job ? jobLink(trial.job, "job") : trial.error,
      ])),
  ];
}

/** Each trial is a line that crosses an axis for every place, and the metric's last. */
function lines({ axes, lines: drawn }, best) {
  if (!drawn.length) return null;
  const x = (index) => SIDE + (index / (axes.length - 1)) * (WIDTH - 2 * SIDE);
  const y = (axis, value) => {
    const scale = axis.kind === "log_uniform" ? Math.log : Number;
    const low = scale(axis.low), high = scale(axis.high);
    const share = high > low ? (scale(value) - low) / (high - low) : 0.5;
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  };
  const end = (axis, which) =>
    (axis.values ? spelled(axis.values[which === "low" ? 0 : axis.values.length - 1]) : number(axis[which], 3));
  const ordered = drawn.toSorted((a, b) => (a.trial === best) - (b.trial === best));
  return el("figure", {},
    svg("svg", { class: "chart coordinates", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
      "aria-label": `Parallel coordinates of ${drawn.length} trials; the table below has the same values` },
      axes.map((axis, index) => [
        svg("line", { class: "axis", x1: x(index), x2: x(index), y1: TOP, y2: HEIGHT - BOTTOM }),
        svg("text", { x: x(index), y: 12, "text-anchor": "middle" }, axis.name.split("/").slice(-2).join("/")),
        svg("text", { x: x(index), y: TOP - 6, "text-anchor": "middle" }, end(axis, "high")),
        svg("text", { x: x(index), y: HEIGHT - 8, "text-anchor": "middle" }, end(axis, "low")),
      ]),
      ordered.map((line) => svg("polyline", {
        class: line.trial === best ? "best" : line.status === "pruned" ? "pruned" : "trial",
        points: line.at.map((value, index) =>
          `${x(index).toFixed(1)},${y(axes[index], value).toFixed(1)}`).join(" "),
      }, svg("title", {}, `trial ${line.trial}, ${line.status}`)))),
    el("figcaption", { class: "key" }, el("span", { class: "best" }, "best trial"), ", ",
      el("span", { class: "trial" }, "other trials"), ", ", el("span", { class: "pruned" }, "stopped early")));
}
