// A user's list: its entries in order, what moved, and why each is there.

import { at, calm, el, fill, milliseconds, percent, theirs } from "./dom.js";
import { Rankings } from "./rankings.js";
import { bars, Causes } from "./why.js";
import { cause, degraded, exploring, source } from "./words.js";

export const ACTS = [
  ["click", "Click", "Interested: open it"],
  ["like", "Like", "More like this"],
  ["dismiss", "Dismiss", "Not for me"],
];

export class List {
  constructor({ act, who }) {
    this.act = act;
    this.who = who;
    this.rows = new Map();
    this.view = null;
    this.mine = false;
    this.rankings = new Rankings();
  }

  clear(mine) {
    this.mine = mine;
    this.view = null;
    this.rows.clear();
    fill(at("list"));
    for (const id of ["reflects", "made", "left"]) fill(at(id));
    this.rankings.clear();
  }

  wait(text) {
    fill(at("reflects"), el("span", { class: "wait" }, text));
  }

  show(view) {
    const first = this.view === null || this.view.user !== view.user;
    const tops = new Map([...this.rows].map(([item, row]) => [item, row.element.getBoundingClientRect().top]));
    const focused = document.activeElement?.closest?.("#list > li");
    const place = focused ? [...at("list").children].indexOf(focused) : -1;
    const button = document.activeElement?.dataset?.act;
    this.view = view;
    const rows = new Map();
    for (const entry of view.entries) {
      const row = this.rows.get(entry.item.id) ?? new Row(this.act, this.mine, this.who);
      row.update(entry, view, first);
      rows.set(entry.item.id, row);
    }
    this.rows = rows;
    // Rows that stay are moved, not made again, so that a focused button and an open "why" stay too.
    const list = at("list");
    for (const child of [...list.children]) if (![...rows.values()].some((row) => row.element === child)) child.remove();
    let next = list.firstElementChild;
    for (const { element } of rows.values()) {
      if (element === next) next = next.nextElementSibling;
      else list.insertBefore(element, next);
    }
    if (place >= 0 && document.activeElement === document.body) {
      const row = list.children[Math.min(place, list.children.length - 1)];
      (row?.querySelector(`[data-act="${button}"]`) ?? row?.querySelector("button"))?.focus({ preventScroll: true });
    }
    if (!calm() && !first) this.move(tops);
    this.head(view);
    this.rankings.show(view);
    return first ? "" : summary(view);
  }

  move(tops) {
    for (const [item, { element }] of this.rows) {
      const top = tops.get(item);
      const shift = top === undefined ? 0 : top - element.getBoundingClientRect().top;
      const frames = top === undefined ? [{ opacity: 0, transform: "translateX(1.5rem)" }, {}] : [{ transform: `translateY(${shift}px)` }, {}];
      if (top === undefined || shift) element.animate(frames, { duration: 420, easing: "cubic-bezier(.2,.8,.2,1)" });
    }
  }

  head(view) {
    const after = el("strong", {}, milliseconds(view.freshness_ms));
    const what = view.reflects;
    fill(
      at("reflects"),
      what === null
        ? ["Made ", after, " after its event"]
        : ["Reflects ", cause(what, this.mine), what.title ? " " : "", what.title ? theirs(what.title, { class: "title" }) : null, ", ", after, " after it"],
    );
    fill(
      at("made"),
      `Ranked in ${milliseconds(view.took_ms)} `,
      view.version ? ["with the model, version ", theirs(view.version)] : `without the model: ${degraded(view.degraded)}`,
    );
    fill(
      at("left"),
      view.left?.length ? ["Left the list: ", view.left.flatMap((title, number) => [number ? ", " : "", theirs(title)])] : "",
    );
  }
}

class Row {
  constructor(act, mine, who) {
    this.open = false;
    this.who = who;
    this.causes = new Causes(mine);
    this.rank = el("span", { class: "rank" });
    this.title = el("h2");
    this.tags = el("p", { class: "tags" });
    this.reason = el("p", { class: "reason" });
    this.exploring = el("p", { class: "exploring" });
    this.moved = el("p", { class: "moved" });
    this.panel = el("div", { class: "why", hidden: true });
    this.why = el("button", { type: "button", class: "plain small", "aria-expanded": "false", "data-act": "why", onclick: () => this.toggle() }, "Why?");
    this.acts = mine
      ? ACTS.map(([kind, word, about]) =>
          el("button", { type: "button", class: `plain small ${kind}`, title: about, "data-act": kind, onclick: () => act(kind, this.entry) }, word),
        )
      : [];
    this.element = el(
      "li",
      { class: "entry" },
      this.rank,
      el("div", { class: "what" }, this.title, this.tags, this.reason, this.exploring),
      this.moved,
      el("div", { class: "acts" }, ...this.acts, this.why),
      this.panel,
    );
  }

  toggle() {
    this.open = !this.open;
    this.why.setAttribute("aria-expanded", String(this.open));
    this.panel.hidden = !this.open;
    if (this.open) this.explain();
  }

  update(entry, view, first) {
    this.entry = entry;
    this.view = view;
    this.rank.textContent = entry.place;
    fill(this.title, theirs(entry.item.title));
    fill(this.tags, entry.item.tags.length ? theirs(entry.item.tags.join(" · ")) : "");
    fill(this.reason, theirs(entry.reason));
    this.exploring.textContent = exploring(entry);
    this.exploring.hidden = !exploring(entry);
    for (const button of [...this.acts, this.why]) button.setAttribute("aria-label", `${button.textContent} ${entry.item.title}`);
    const [kind, text, words] = first || view.left === null ? ["same", ""] : moved(entry);
    this.moved.className = `moved ${kind}`;
    fill(this.moved, text ? [el("span", { "aria-hidden": "true" }, text), el("span", { class: "unseen" }, words)] : "");
    this.element.dataset.moved = kind;
    if (this.open) this.explain();
  }

  explain() {
    const { entry, view } = this;
    this.causes.show(view, entry, this.who());
    const parts = Object.entries(entry.contributions).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
    const sum = parts.reduce((total, [, value]) => total + value, 0);
    const facts = [];
    if (view.without_model !== null)
      facts.push(entry.without_model === null ? `Without the model, it is not among the first ${view.without_model.length}.` : `Without the model, it is number ${entry.without_model}.`);
    if (entry.propensity < 0.9995) facts.push(`It is drawn to this place in ${percent(entry.propensity)} of such lists.`);
    fill(
      this.panel,
      this.causes.element,
      parts.length ? bars("What its score is made of", ["Evidence", "Bar", "Adds"], parts.map(([name, value]) => [theirs(source(name)), value]), sum) : null,
      facts.length ? el("p", { class: "quiet" }, facts.join(" ")) : null,
    );
  }
}

function moved(entry) {
  if (entry.was === null) return ["entered", "New here", "It was not on the list before."];
  const places = entry.was - entry.place;
  if (places > 0) return ["rose", `▲ ${places}`, `It rose from number ${entry.was}.`];
  if (places < 0) return ["fell", `▼ ${-places}`, `It fell from number ${entry.was}.`];
  return ["same", ""];
}

function summary(view) {
  const kinds = view.entries.map((entry) => moved(entry)[0]);
  const count = (kind) => kinds.filter((each) => each === kind).length;
  return `New list: ${count("entered")} entered, ${count("rose")} rose, ${count("fell")} fell, ${view.left?.length ?? 0} left.`;
}
