// Why an entry is on a list: the event of the user that counts most, in a sentence, and what single events add.

import * as api from "./api.js";
import { el, fill, theirs } from "./dom.js";
import { did } from "./words.js";

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

// A table of numbers with bars, of rows [header, value, more cells ...].
export function bars(caption, headers, rows, sum) {
  const widest = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-9);
  const body = rows.map(([header, value, ...more]) => {
    const bar = el("span", { class: value < 0 ? "fill below" : "fill" });
    bar.style.setProperty("--share", `${(50 * Math.abs(value)) / widest}%`);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, header),
      el("td", { class: "track", "aria-hidden": "true" }, bar),
      el("td", { class: "number" }, signed(value)),
      ...more.map((each) => el("td", { class: "number" }, each)),
    );
  });
  return el(
    "table",
    {},
    el("caption", {}, caption),
    el("thead", { class: headers.length > 3 ? null : "unseen" }, el("tr", {}, ...headers.map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, body),
    sum === undefined
      ? null
      : el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "Together"), el("td", { "aria-hidden": "true" }), el("td", { class: "number" }, signed(sum)))),
  );
}

// The part of an entry's panel that the worker is asked for: once for each list.
export class Causes {
  constructor(mine) {
    this.mine = mine;
    this.asked = "";
    this.element = el("div", { class: "causes", "aria-live": "polite" });
  }

  async show(view, entry, who) {
    if (this.asked === view.id) return;
    this.asked = view.id;
    if (!this.element.childElementCount) fill(this.element, el("p", { class: "quiet" }, "Scoring the list again without each event …"));
    let content;
    try {
      content = this.found(await api.why(view.id, entry.item.id, who));
    } catch (error) {
      if (!(error instanceof api.Failure)) throw error;
      content = el("p", { class: "quiet" }, error.message);
    }
    if (this.asked === view.id) fill(this.element, content);
  }

  found(why) {
    const told = this.mine ? [] : [el("span", { class: "quiet" }, "The user would be told: ")];
    const rows = why.causes.map((cause) => [[`${did(cause.did)} `, theirs(cause.did.title)], cause.adds, String(cause.place)]);
    return [
      el("p", { class: "cause" }, ...told, theirs(why.sentence, { lang: why.language })),
      rows.length
        ? bars(`What single events add, of the last ${why.events}`, ["Event", "", "Adds", "Number without it"], rows)
        : null,
    ];
  }
}
