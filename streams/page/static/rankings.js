// What other rankings give at the same moment, one at a time beside the list, or under it on a phone: those that exist.

import { at, el, fill, theirs } from "./dom.js";

export class Rankings {
  constructor() {
    this.on = false;
    this.chosen = "";
    this.offered = "";
    this.view = null;
    this.other = null;
    this.versions = null;
    at("compare").addEventListener("click", () => {
      this.on = !this.on;
      at("compare").setAttribute("aria-pressed", String(this.on));
      this.draw();
    });
  }

  clear() {
    this.show(null);
  }

  show(view) {
    this.view = view;
    this.draw();
  }

  // The order of the version that did not make a list; it comes a little after the list.
  pair(other) {
    this.other = other;
    this.draw();
  }

  // [key, name, items] of each ranking of this moment.
  rankings() {
    const { view, other, versions } = this;
    const trial = versions?.trial?.number;
    const live = versions?.live?.number;
    const both = other?.list === view.id;
    return [
      // A list that the model had no part in is the list without the model.
      ["without_model", "Without the model", view.version ? view.without_model : null],
      ["version", both && other.canary ? `Version ${live ?? ""}, live` : `Version ${trial ?? ""}, on trial`, both ? other.items : null],
      ["item_knn", "Item-kNN", view.item_knn],
      ["popular", "Popular", view.popular],
    ].filter(([, , items]) => items !== null);
  }

  draw() {
    const on = this.on && this.view !== null;
    at("compare").hidden = this.view === null;
    at("other").hidden = !on;
    at("lists").classList.toggle("two", on);
    if (!on) return;
    const found = this.rankings();
    at("not-compared").hidden = this.view.popular !== null;
    at("rankings").hidden = found.length === 0;
    const [key, , items] = found.find(([each]) => each === this.chosen) ?? found[0] ?? ["", "", []];
    this.offer(found, key);
    const places = new Map(this.view.entries.map((entry) => [entry.item.id, entry.place]));
    fill(
      at("plain-list"),
      items.map((item) => {
        const place = places.get(item.id);
        return el(
          "li",
          { class: place === undefined ? "only" : "" },
          theirs(item.title, { class: "title" }),
          el("span", { class: "tags" }, place === undefined ? "not on the list" : `number ${place} on the list`),
        );
      }),
    );
  }

  // The buttons stay while the same rankings exist, so that the keyboard stays where it is.
  offer(found, pressed) {
    const offered = found.map(([, name]) => name).join("\n");
    if (offered !== this.offered) {
      this.offered = offered;
      const held = at("rankings").contains(document.activeElement);
      fill(
        at("rankings"),
        found.map(([key, name]) =>
          el("button", { type: "button", class: "plain small", "data-ranking": key, onclick: () => this.choose(key) }, name),
        ),
      );
      if (held) at("rankings").querySelector(`[data-ranking="${this.chosen}"], button`)?.focus({ preventScroll: true });
    }
    for (const button of at("rankings").children) button.setAttribute("aria-pressed", String(button.dataset.ranking === pressed));
  }

  choose(key) {
    this.chosen = key;
    this.draw();
  }
}
