// A line chart of a few values per epoch, drawn without a library.

import { el, number, svg } from "./page.js";

const WIDTH = 480, HEIGHT = 220, LEFT = 52, BOTTOM = 24, TOP = 8, RIGHT = 8;

/** Draw series `{ name, class, points: [[step, value], …] }` that share a unit. */
export function chart(title, series) {
  const drawn = series.filter((one) => one.points.length);
  const all = drawn.flatMap((one) => one.points);
  if (!all.length) return null;
  const [left, right] = range(all.map(([step]) => step));
  const [low, high] = range(all.map(([, value]) => value));
  const x = (step) => LEFT + ((step - left) / (right - left)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  const last = drawn.map((one) => `${one.name} ${number(one.points.at(-1)[1])}`).join(", ");
  return el("figure", {},
    svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} by step; last: ${last}` },
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
      svg("line", { class: "axis", x1: LEFT, x2: LEFT, y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("text", { x: LEFT - 6, y: TOP + 8, "text-anchor": "end" }, number(high, 3)),
      svg("text", { x: LEFT - 6, y: HEIGHT - BOTTOM, "text-anchor": "end" }, number(low, 3)),
      svg("text", { x: LEFT, y: HEIGHT - 6 }, `step ${number(left)}`),
      svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `step ${number(right)}`),
      drawn.map((one) => svg("polyline", {
        class: one.class,
        points: one.points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
      }))),
    el("figcaption", { class: "key" }, `${title}: `,
      drawn.map((one, index) => [index ? ", " : "", el("span", { class: one.class }, `${one.name} ${number(one.points.at(-1)[1])}`)])));
}

function range(values) {
  const low = Math.min(...values), high = Math.max(...values);
  return low < high ? [low, high] : [low - 1e-9, low + Math.max(Math.abs(low) * 0.1, 1e-9)];
}
