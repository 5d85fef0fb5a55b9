// The versions of the model: the one that makes the lists, and the stages of the one on trial.

import { at, el, fill } from "./dom.js";

const STAGES = [
  ["made", "Trained"],
  ["gates", "Gates"],
  ["shadow", "Compared"],
  ["canary", "Some users"],
  ["champion", "All users"],
];

let stage = "";

export function versions(view) {
  const { live, trial, ended } = view;
  fill(
    at("live-version"),
    live === null
      ? "No learner has named a version here: the model stays as it is. “ouzel learn” trains new ones."
      : [el("strong", {}, `Version ${live.number}`), ` has made the lists since ${time(live.at)}${because(live.reason)}`],
  );
  at("trial").hidden = trial === null;
  if (trial !== null) show(view);
  at("ended-version").hidden = ended === null;
  fill(at("ended-version"), ended === null ? "" : `Version ${ended.number} was withdrawn, ${time(ended.at)}${because(ended.reason)}`);
  announce(live, trial);
}

// Stages are announced; the figures, which change with each like, are not.
function announce(live, trial) {
  const now = trial ? `${trial.number} ${trial.role}` : `${live?.number ?? ""}`;
  if (stage && now !== stage)
    at("stage").textContent = trial
      ? `Version ${trial.number} is on trial: ${STAGES[current(trial)][1]}.`
      : `Version ${live?.number} makes the lists, and none is on trial.`;
  stage = now;
}

const current = (trial) => (trial.role === "made" ? 1 : STAGES.findIndex(([role]) => role === trial.role));

function show({ live, trial, lacking, compared }) {
  const now = current(trial);
  fill(at("trial-version"), el("strong", {}, `Version ${trial.number}`), ` has been on trial since ${time(trial.at)}${because(trial.reason)}`);
  fill(
    at("stages"),
    STAGES.map(([, word], place) =>
      el(
        "li",
        { class: place < now ? "passed" : "", "aria-current": place === now ? "step" : null },
        word,
        place < now ? el("span", { class: "unseen" }, " passed") : null,
      ),
    ),
  );
  at("trial-says").textContent = says(live, trial, lacking, compared);
  at("interval").hidden = compared === null;
  if (compared !== null) interval(compared);
}

function says(live, trial, lacking, compared) {
  if (trial.role === "made") return "Its gates are run: it is judged on likes that it has not learned.";
  const seen = trial.role === "canary" ? `${Math.round(100 * trial.share)}% of the users get its lists.` : "It orders the same lists; no user sees its order.";
  if (compared === null) return lacking ? `${seen} First it reads ${lacking.toLocaleString("en")} items.` : `${seen} No like is compared yet.`;
  const { likes, champion, challenger } = compared;
  const lists = likes === 1 ? "1 like on a list" : `${likes.toLocaleString("en")} likes on lists`;
  const other = live === null ? "that of the live one" : `that of version ${live.number}`;
  return `${seen} Of ${lists} that both ordered, ${share(challenger)} were in its order and ${share(champion)} in ${other}, on this worker.`;
}

// The difference of hit ratios between its bounds, around 0.
function interval({ difference, low, high }) {
  const widest = Math.max(-low, high);
  const place = (value) => `${50 + (46 * value) / widest}%`;
  const range = el("span", { class: "range" });
  range.style.setProperty("--low", place(low));
  range.style.setProperty("--high", place(high));
  const mean = el("span", { class: "mean" });
  mean.style.setProperty("--at", place(difference));
  fill(
    at("interval"),
    el("span", { class: "scale", "aria-hidden": "true" }, range, mean),
    el("span", { class: "number" }, `Hit ratio ${points(difference)} points (${points(low)} to ${points(high)})`),
  );
}

const because = (reason) => (reason ? `: ${reason}.` : ".");
const share = (value) => `${(100 * value).toFixed(1)}%`;
const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;

function time(ms) {
  const day = new Date(ms);
  const today = day.toDateString() === new Date().toDateString();
  return day.toLocaleString("en", today ? { hour: "2-digit", minute: "2-digit", hour12: false } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
}
