// How the page says what users do and why an item is on a list.

const DID = {
  view: "viewed",
  click: "clicked",
  like: "liked",
  dislike: "disliked",
  cart: "put in the cart",
  purchase: "bought",
  dismiss: "dismissed",
  steer: "asked for",
  forget: "withdrew an event",
};

const YOURS = {
  view: "view of",
  click: "click on",
  like: "like of",
  dislike: "dislike of",
  cart: "choice of",
  purchase: "purchase of",
  dismiss: "dismissal of",
  rate: "rating of",
};

const SOURCES = {
  covisited: "Liked together with what you like",
  trending: "Popular now",
  fresh: "Came out lately",
  alike: "Similar title and description",
  nearest: "The language model",
  explored: "Tried out",
  new: "New: we would like to know",
  wished: "What was asked for in a sentence",
};

const DEGRADED = {
  deadline: "the model’s answer came too late",
  unavailable: "the model is not available",
  overloaded: "too many users waited for the model",
  invalid: "the model’s answer was not usable",
  circuit_open: "the model failed several times and is left alone for a moment",
  disabled: "this worker has no model",
};

export const source = (name) => SOURCES[name] ?? name;

// Why an entry is there without being among the best; empty for others.
export function exploring({ code, sources }) {
  if (code === "new") return "Exploring: too new to be known";
  return sources.includes("explored") ? "Exploring: drawn by chance" : "";
}

export const degraded = (why) => DEGRADED[why] ?? why;

export const did = (event) => (event.kind === "rate" ? `rated ${event.value}:` : (DID[event.kind] ?? event.kind));

// "your like of", "user 7's like of", "the event that you withdrew": what a list answers, before the title.
export function cause(event, mine) {
  if (event.kind === "steer") return mine ? "your wish" : "a wish";
  if (event.kind === "forget") return mine ? "the event that you withdrew" : "a withdrawn event";
  const noun = YOURS[event.kind] ?? `${event.kind} of`;
  return `${mine ? "your" : "the user’s"} ${noun}`;
}
