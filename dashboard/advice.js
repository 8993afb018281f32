// The guide: wishes are ticked, the server answers a spec with a reason for each choice.

import { duration, el, number, problem, show, table } from "./page.js";
import { ask } from "./server.js";

/**
 * A form for wishes. `about()` returns what the request names beside them, `take(spec)`
 * gets the spec that is advised.
 */
export function advice(about, take, signal) {
  const answer = el("div", { "aria-live": "polite" });
  const wishes = el("div", { class: "bar" });
  const boxes = [];

  async function learn() {
    if (boxes.length) return;
    const { components } = await ask("/openapi.json", { signal });
    for (const wish of components.schemas.AdviceRequest.properties.wishes.items.enum) {
      const box = el("input", { type: "checkbox", value: wish });
      boxes.push(box);
      wishes.append(el("label", {}, box, ` ${wish.replaceAll("_", " ")}`));
    }
  }

  async function send() {
    show(answer, el("p", {}, "Thinking …"));
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    try {
      const found = await ask("/v1/advice", { method: "POST", body: { ...about(), wishes: chosen }, signal });
      take(found.spec);
      show(answer, reasons(found));
    } catch (error) {
      show(answer, problem(error));
    }
  }

  return el("details", { ontoggle: learn },
    el("summary", {}, "Advice: say what matters, get a spec"),
    el("p", { class: "quiet" }, "Choose the data set first. The spec below is written anew, with a reason for each choice."),
    wishes, el("div", { class: "bar" }, el("button", { type: "button", onclick: send }, "Advise")), answer);
}

function reasons(found) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return [
    table("Choices", ["Where", "Value", "Because", "Source"], found.choices.map((one) => [
      el("code", {}, one.pointer), el("code", {}, text(one.value)), one.reason, one.source])),
    found.warnings.map((one) => el("p", { class: "note" }, one)),
    table("Worth trying as well", ["", "When", "Source"],
      found.alternatives.map((one) => [one.rule.replaceAll("_", " "), one.reason, one.source])),
    el("p", {}, `${number(found.estimate.parameters)} parameters, about `,
      `${duration(found.estimate.seconds_per_epoch)} per epoch on one CPU core.`),
  ];
}
