// The sentences of a user that hold: what the model read in each, when it ends, and a way to take it back.

import { at, el, fill, theirs } from "./dom.js";

export class Wishes {
  // `ask(text)` sends a sentence, `undo(text)` takes it back.
  constructor({ ask, undo }) {
    this.undo = undo;
    at("wish").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = at("wish-text").value.trim();
      if (text) ask(text);
    });
  }

  clear(mine) {
    this.mine = mine;
    at("wish").hidden = !mine;
    at("wish-text").value = "";
    this.show([]);
  }

  show(wishes) {
    const held = at("wishes").contains(document.activeElement);
    at("wishes").hidden = wishes.length === 0;
    fill(at("wishes"), wishes.map((wish) => this.chip(wish)));
    if (held && document.activeElement === document.body) at("wish-text").focus();
  }

  chip(wish) {
    return el(
      "li",
      { class: "chip" },
      el("span", { class: "said" }, theirs(wish.text)),
      el("span", { class: "tags" }, meaning(wish), `, until ${day(wish.until)}`),
      this.mine
        ? el("button", { type: "button", class: "plain small", "aria-label": `Undo: ${wish.text}`, onclick: () => this.undo(wish.text) }, "Undo")
        : null,
    );
  }
}

// "more Comedy, less Drama": what the model read, as nodes.
function meaning(wish) {
  if (!wish.read) return "the model has not read it yet";
  if (!wish.means.length) return "nothing in this catalogue that the model finds in it";
  return wish.means.flatMap(([name, strength], number) => [number ? ", " : "", strength < 0 ? "less " : "more ", theirs(name)]);
}

const day = (ms) => new Date(ms).toLocaleString("en", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
