// Incognito: what the visitor does stays in the worker's memory, for as long as this page shows it.

import * as api from "./api.js";
import { at } from "./dom.js";

export class Incognito {
  // Whether the next start is incognito.
  get wanted() {
    return at("incognito").checked;
  }

  show(on) {
    at("incognito-note").hidden = !on;
    if (!on) return;
    at("again").textContent = "Leave and erase";
    at("erase-line").hidden = true;
  }

  // End a session.
  async leave(key) {
    const { model } = await api.send("incognito/erasures", {}, key);
    if (!model) throw new api.Failure(0, "The incognito session is erased here. The model did not answer: what it read goes when its memory is needed.");
    at("said").textContent = "Everything of the incognito session is erased.";
  }

  // The same while the page goes away, when no answer can be waited for.
  abandon(key) {
    api.send("incognito/erasures", {}, key, true).catch(() => {});
  }
}
