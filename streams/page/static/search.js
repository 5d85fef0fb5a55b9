// Search in the catalogue, ranked for whom the page shows; results can be acted on like the entries of a list.

import { at, el, fill, theirs } from "./dom.js";
import { ACTS } from "./list.js";

const PAUSE = 150;

export class Search {
  // `find(text, signal)` asks the worker; `act(kind, entry)` acts on a result; `place(item)` is its place on the list.
  constructor({ find, act, place }) {
    this.find = find;
    this.act = act;
    this.place = place;
    this.mine = false;
    this.timer = 0;
    this.asked = new AbortController();
    this.rows = new Map();
    at("search-text").addEventListener("input", () => this.soon());
    at("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.now();
    });
  }

  clear(mine) {
    this.mine = mine;
    at("search-text").value = "";
    this.now();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), PAUSE);
  }

  async now() {
    clearTimeout(this.timer);
    this.asked.abort();
    const text = at("search-text").value;
    if (!text.trim()) {
      this.show(null);
      return;
    }
    const { signal } = (this.asked = new AbortController());
    try {
      const found = await this.find(text, signal);
      if (!signal.aborted) this.show(found);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      this.show(null);
      at("found").textContent = error.message;
    }
  }

  // The list has changed, and with it what is on it and what was seen.
  again() {
    if (at("search-text").value.trim()) this.soon();
  }

  show(found) {
    at("found").textContent = found ? summary(found, this.mine) : "";
    at("results-box").hidden = !found?.results.length;
    const rows = new Map((found?.results ?? []).map((result) => [result.item.id, this.rows.get(result.item.id) ?? new Row(this.act, this.mine)]));
    for (const result of found?.results ?? []) rows.get(result.item.id).update(result, this.place(result.item.id), this.mine);
    if (!found) rows.clear();
    this.rows = rows;
    // Rows that stay are moved, not made again, so that a focused button stays focused where it can.
    const held = document.activeElement;
    fill(at("results"), [...rows.values()].map((row) => row.element));
    if (held !== document.activeElement && held.isConnected) held.focus({ preventScroll: true });
  }
}

class Row {
  constructor(act, mine) {
    this.title = el("h3");
    this.tags = el("p", { class: "tags" });
    this.marks = el("p", { class: "marks" });
    this.acts = mine
      ? ACTS.map(([kind, word, about]) =>
          el("button", { type: "button", class: `plain small ${kind}`, title: about, "data-act": kind, onclick: () => act(kind, this.result) }, word),
        )
      : [];
    this.element = el("li", { class: "result" }, el("div", { class: "what" }, this.title, this.tags, this.marks), el("div", { class: "acts" }, ...this.acts));
  }

  update(result, place, mine) {
    this.result = result;
    fill(this.title, theirs(result.item.title));
    fill(this.tags, result.item.tags.length ? theirs(result.item.tags.join(" · ")) : "");
    const marks = [
      result.seen ? el("span", { class: "seen" }, mine ? "You have seen it" : "Seen by this user") : null,
      place ? el("span", { class: "placed" }, `Number ${place} on the list`) : null,
    ];
    fill(this.marks, ...marks);
    for (const button of this.acts) button.setAttribute("aria-label", `${button.textContent} ${result.item.title}, a result`);
  }
}

function summary({ matched, ranked, whole, results }, mine) {
  if (!matched) return "Nothing in the catalogue has these words.";
  const count = `${whole ? "" : "At least "}${matched.toLocaleString("en")} ${matched === 1 ? "item matches" : "items match"}`;
  const whom = mine ? "you" : "this user";
  if (ranked < matched) return `${count}. The best ${results.length} for ${whom} of the ${ranked} best known:`;
  return results.length < matched ? `${count}. The best ${results.length} for ${whom}:` : `${count}${matched === 1 ? "" : `, ranked for ${whom}`}:`;
}
