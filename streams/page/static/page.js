// The page: who it shows, and the stream that keeps it live.

import * as api from "./api.js";
import { at, fill, theirs } from "./dom.js";
import { Incognito } from "./incognito.js";
import { List } from "./list.js";
import { Search } from "./search.js";
import { Feed, figures, guestPast, noPast, userPast } from "./side.js";
import { Start } from "./start.js";
import { versions } from "./versions.js";
import { Wishes } from "./wishes.js";

const KEY = "ouzel-guest";
const PAUSES = [500, 1_000, 2_000, 5_000];

// Whom the page follows: a guest of its own (`key`; `hidden` if incognito), a user who is watched (`user`), or nobody.
let who = {};
let current = null;
let picks = [];

const feed = new Feed();
const incognito = new Incognito();
const start = new Start({ begin: (how) => become(how, incognito.wanted), watch });
const list = new List({ act, who: () => who });
const wishes = new Wishes({ ask, undo });
const search = new Search({
  find: (text, signal) => api.search(text, { ...who, signal }),
  act: (kind, result) => act(kind, result, null),
  place: (item) => list.rows.get(item)?.entry.place,
});
let done = [];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function problem(error) {
  const box = at("problem");
  box.hidden = !error;
  box.textContent = error ? error.message : "";
}

// Run what a control does: its failure is shown, and a guest that the worker no longer knows starts again.
async function run(work) {
  problem(null);
  try {
    await work();
  } catch (error) {
    if (!(error instanceof api.Failure)) throw error;
    if (error.status === 410) leave();
    else if (list.view) list.head(list.view);
    problem(error);
  }
}

// What the worker offers; its token is new after each of its starts.
async function open() {
  ({ picks } = await api.opening());
  if (!start.pool.length) start.offer(picks);
}

function link(state, text) {
  at("link").dataset.state = state;
  at("link-text").textContent = text;
}

// Follow `who` until another stream takes over. The old one ends once the new one has begun, so that no list is missed.
async function follow() {
  const before = current;
  const own = (current = new AbortController());
  for (let tries = 0; own === current; tries++) {
    try {
      for await (const [name, data] of api.stream({ ...(who.hidden ? {} : who), signal: own.signal })) {
        before?.abort();
        if (own !== current) break;
        if (tries) {
          problem(null);
          run(open);
        }
        tries = 0;
        link("live", "live");
        take(name, data);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (own !== current) return;
      before?.abort();
      if (error.status === 410) {
        leave();
        problem(error);
        return;
      }
      if (error.status) problem(error);
    }
    if (own !== current) return;
    link("lost", "connecting again");
    await sleep(PAUSES[Math.min(tries, PAUSES.length - 1)]);
  }
}

function take(name, data) {
  if (name === "pulse") {
    figures(data);
    start.users(data.users);
    if (!start.pool.length) run(open);
  } else if (name === "feed") feed.add(data);
  else if (name === "versions") {
    versions(data);
    list.rankings.versions = data;
  } else if (name === "pair") list.rankings.pair(data);
  else if (name === "list" && (who.key || who.user != null)) show(data);
}

function show(made) {
  const said = list.show(made);
  wishes.show(made.wishes);
  search.again();
  if (who.user != null) userPast(made.history);
  if (who.key) at("said").textContent = said;
}

function see(title, mine) {
  at("start").hidden = true;
  at("view").hidden = false;
  fill(at("view-title"), ...title);
  at("copy").hidden = mine;
  at("again").textContent = mine ? "Start again" : "Back";
  list.clear(mine);
  wishes.clear(mine);
  search.clear(mine);
  incognito.show(Boolean(who.hidden));
  list.wait(mine ? "Your list is on its way …" : "Waiting for the user’s next list …");
  at("view-title").focus({ preventScroll: true });
  scrollTo({ top: 0 });
}

function mine(guest) {
  feed.me = who.hidden ? null : guest.user;
  see([who.hidden ? "Your list, incognito" : "Your list"], true);
  past(guest);
}

function past(guest) {
  ({ done } = guest);
  guestPast(guest, withdraw);
  if (who.hidden) incognito.show(true);
}

// Send what the guest does. To Kafka, from where the list comes by the stream; or incognito, where it is the answer.
async function tell(path, body, waiting) {
  list.wait(who.hidden ? "Your list is being made …" : waiting);
  const asked = who;
  const answer = await api.send(who.hidden ? `incognito/${path}` : path, body, who.key);
  if (asked !== who) return;
  past(who.hidden ? answer.guest : answer);
  if (who.hidden) show(answer.list);
}

function become(how, hidden = false) {
  return run(async () => {
    const { key, guest, list: made } = await api.send(hidden ? "incognito" : "guests", how);
    if (!hidden) sessionStorage.setItem(KEY, key);
    who = { key, hidden };
    mine(guest);
    if (hidden) show(made);
    follow();
  });
}

function watch(user) {
  who = { user };
  problem(null);
  see(["User ", theirs(user)], false);
  noPast();
  follow();
}

function leave() {
  sessionStorage.removeItem(KEY);
  who = {};
  noPast();
  at("view").hidden = true;
  at("start").hidden = false;
  start.offer(picks);
  at("main").focus({ preventScroll: true });
  scrollTo({ top: 0 });
  follow();
}

// `from`: the list that the entry is on.
function act(kind, entry, from = list.view.id) {
  return run(() => tell("events", { kind, item: entry.item.id, list: from }, `Your ${kind} is on its way to Kafka …`));
}

function ask(text) {
  return run(async () => {
    await tell("wishes", { text }, "Your wish is on its way to Kafka …");
    at("wish-text").value = "";
  });
}

function undo(text) {
  const event = done.find((one) => one.kind === "steer" && one.title === text && !one.withdrawn);
  return event && withdraw(event);
}

function withdraw(event) {
  return run(() => tell("withdrawals", { event: event.id }, "The withdrawal is on its way to Kafka …"));
}

at("again").addEventListener("click", () => {
  const { key, hidden } = who;
  leave();
  if (hidden) run(() => incognito.leave(key));
});
addEventListener("pagehide", () => who.hidden && incognito.abandon(who.key));
at("copy").addEventListener("click", () => become({ like_user: who.user }, incognito.wanted));
at("erase").addEventListener("click", () => at("sure").showModal());
at("keep").addEventListener("click", () => at("sure").close());
at("go").addEventListener("click", () => {
  at("sure").close();
  run(async () => {
    await api.send("erasures", {}, who.key);
    leave();
    at("said").textContent = "The erasure event is on Kafka.";
  });
});

await run(async () => {
  await open();
  const key = sessionStorage.getItem(KEY);
  if (key) {
    try {
      const guest = await api.guest(key);
      who = { key };
      mine(guest);
    } catch (error) {
      if (error.status !== 410) throw error;
      sessionStorage.removeItem(KEY);
    }
  }
});
follow();
