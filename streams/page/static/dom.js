// Elements from data. Text is always text: nothing here, or anywhere on the page, makes markup of a string.

export const at = (id) => document.getElementById(id);

// An element with attributes, listeners (keys that start with "on") and children; strings become text.
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child != null));
  return made;
}

// A text of somebody else's: its direction stays its own, whatever marks it holds.
export const theirs = (text, given = {}) => el("bdi", given, text);

export const fill = (parent, ...children) => parent.replaceChildren(...children.flat(Infinity).filter((child) => child != null));

export function milliseconds(value) {
  if (value == null) return "–";
  return value < 10_000 ? `${Math.round(value).toLocaleString("en")} ms` : `${(value / 1000).toFixed(1)} s`;
}

export const percent = (value) => `${(100 * value).toFixed(1)}%`;

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
