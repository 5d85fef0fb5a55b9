// Beside the list: what the user did, what happens on this worker, and how good its lists are.

import { at, el, fill, milliseconds, percent, theirs } from "./dom.js";
import { did } from "./words.js";

const FEED = 9;
const RANKINGS = [
  ["list", "Ouzel’s lists"],
  ["without_model", "without the model"],
  ["item_knn", "item-kNN: liked together"],
  ["popularity", "what is popular"],
];

export function guestPast(guest, withdraw) {
  at("past").hidden = false;
  at("past-title").textContent = "What you did";
  at("erase-line").hidden = false;
  const held = at("done").contains(document.activeElement);
  fill(
    at("done"),
    guest.done.map((event) =>
      el(
        "li",
        { class: event.withdrawn ? "withdrawn" : "" },
        el("span", { class: "what" }, `${did(event)} `, theirs(event.title, { class: "title" })),
        event.withdrawn
          ? el("span", { class: "tags" }, "withdrawn")
          : el("button", { type: "button", class: "plain small", "aria-label": `Withdraw: ${did(event)} ${event.title}`, onclick: () => withdraw(event) }, "Withdraw"),
      ),
    ),
  );
  if (held && document.activeElement === document.body) (at("done").querySelector("button") ?? at("erase")).focus();
}

export function userPast(events) {
  at("past").hidden = events.length === 0;
  at("past-title").textContent = "What this user did";
  at("erase-line").hidden = true;
  fill(at("done"), events.map((event) => el("li", {}, el("span", { class: "what" }, `${did(event)} `, theirs(event.title, { class: "title" })))));
}

export function noPast() {
  at("past").hidden = true;
  fill(at("done"));
}

export class Feed {
  constructor() {
    this.paused = false;
    this.begun = false;
    this.me = null;
    at("pause").addEventListener("click", () => {
      this.paused = !this.paused;
      at("pause").setAttribute("aria-pressed", String(this.paused));
      at("pause").textContent = this.paused ? "Go on" : "Pause";
    });
  }

  who(before, user) {
    return el("span", { class: "who" }, before, user === this.me ? "you" : theirs(user));
  }

  add({ events, lists }) {
    if (this.paused) return;
    if (!this.begun) fill(at("feed"));
    this.begun = true;
    const lines = [
      ...events.map((event) => [event.at, el("li", { class: "event" }, this.who("", event.user), ` ${did(event)} `, theirs(event.title, { class: "title" }))]),
      ...lists.map((made) => [
        made.at,
        el(
          "li",
          { class: "out" },
          this.who("→ ", made.user),
          " ",
          made.titles.flatMap((title, number) => [number ? ", " : "", theirs(title)]),
          el("span", { class: "after" }, milliseconds(made.freshness_ms)),
        ),
      ]),
    ];
    const feed = at("feed");
    for (const [, line] of lines.sort((one, other) => one[0] - other[0])) feed.prepend(line);
    while (feed.children.length > FEED) feed.lastElementChild.remove();
  }
}

export function figures(pulse) {
  const rate = (value) => `${value.toLocaleString("en", { maximumFractionDigits: 1 })}/s`;
  at("events-rate").textContent = rate(pulse.events_per_second);
  at("lists-rate").textContent = rate(pulse.lists_per_second);
  at("p50").textContent = milliseconds(pulse.p50);
  at("p99").textContent = milliseconds(pulse.p99);
  hits(pulse.hits, pulse.lists > pulse.degraded);
}

function hits(found, modelled) {
  at("hits").hidden = found.judged === 0;
  at("judged").textContent =
    found.judged === 0
      ? "No like has been judged yet."
      : `Of ${found.judged.toLocaleString("en")} likes since this worker began, so many were already on the user’s list:`;
  const best = Math.max(...RANKINGS.map(([name]) => found[name] ?? 0), 1e-9);
  fill(
    at("hits"),
    RANKINGS.filter(([name]) => modelled || name !== "without_model").map(([name, words]) => {
      const bar = el("span", { class: "fill" });
      bar.style.setProperty("--share", `${(100 * (found[name] ?? 0)) / best}%`);
      return el("div", { class: name }, el("dt", {}, words), el("dd", {}, percent(found[name] ?? 0)), el("dd", { class: "track", "aria-hidden": "true" }, bar));
    }),
  );
}
