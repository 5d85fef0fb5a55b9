// The start: things to like, and users to watch.

import { at, el, fill, theirs } from "./dom.js";
import { did } from "./words.js";

const SHOWN = 18;
const WANTED = 3;

export class Start {
  constructor({ begin, watch }) {
    this.pool = [];
    this.chosen = new Map();
    this.shown = [];
    this.begin = begin;
    this.watch = watch;
    this.offered = "";
    at("find").addEventListener("input", () => this.draw());
    at("shuffle").addEventListener("click", () => {
      at("find").value = "";
      this.shuffle();
      this.draw();
    });
    at("begin").addEventListener("click", () => this.begin({ likes: [...this.chosen.keys()] }));
    at("start-wish").addEventListener("submit", (event) => {
      event.preventDefault();
      const wish = at("start-wish-text").value.trim();
      // What was chosen above counts too.
      if (wish) this.begin(this.chosen.size ? { wish, likes: [...this.chosen.keys()] } : { wish });
    });
  }

  offer(picks) {
    this.pool = picks;
    this.chosen.clear();
    at("find").value = "";
    at("start-wish-text").value = "";
    this.shuffle();
    this.draw();
  }

  shuffle() {
    // Better known items come up more often: each is drawn with a weight that falls with its place.
    const drawn = this.pool.map((item, place) => [Math.random() ** (1 + place / 60), item]);
    this.shown = drawn.sort((one, other) => other[0] - one[0]).slice(0, SHOWN).map(([, item]) => item);
  }

  draw() {
    const wanted = at("find").value.trim().toLocaleLowerCase();
    const found = wanted
      ? this.pool.filter((item) => item.title.toLocaleLowerCase().includes(wanted)).slice(0, SHOWN)
      : this.shown;
    const rest = [...this.chosen.values()].filter((item) => !found.includes(item));
    fill(at("picks"), [...rest, ...found].map((item) => this.pick(item)));
    const none = at("no-picks");
    none.hidden = found.length > 0;
    none.textContent = this.pool.length
      ? `None of the ${this.pool.length} best known has that in its title.`
      : "The worker has no catalogue yet. Items appear as soon as ouzel.items has some.";
    this.tell();
  }

  pick(item) {
    const button = el(
      "button",
      { type: "button", class: "pick", "aria-pressed": String(this.chosen.has(item.id)) },
      theirs(item.title, { class: "title" }),
      item.tags.length ? theirs(item.tags.slice(0, 3).join(" · "), { class: "tags" }) : null,
    );
    button.addEventListener("click", () => {
      if (!this.chosen.delete(item.id) && this.chosen.size < 10) this.chosen.set(item.id, item);
      button.setAttribute("aria-pressed", String(this.chosen.has(item.id)));
      this.tell();
    });
    return el("li", {}, button);
  }

  tell() {
    const count = this.chosen.size;
    at("begin").disabled = count < WANTED;
    const missing = WANTED - count;
    at("chosen").textContent =
      count === 0
        ? "None chosen yet"
        : missing > 0
          ? `${count} chosen, ${missing} to go`
          : `${count} chosen${count === 10 ? ", the most" : ""}`;
  }

  users(users) {
    const offered = users.map((user) => user.id).join("\n");
    if (offered === this.offered || at("users").contains(document.activeElement)) return;
    this.offered = offered;
    at("no-users").hidden = users.length > 0;
    fill(
      at("users"),
      users.map(({ id, last }) =>
        el(
          "li",
          {},
          el(
            "button",
            { type: "button", class: "user", onclick: () => this.watch(id) },
            el("span", { class: "who" }, "User ", theirs(last.user)),
            el("span", { class: "tags" }, did(last), " ", theirs(last.title)),
          ),
        ),
      ),
    );
  }
}
