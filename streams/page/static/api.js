// The worker's answers. The token comes with the opening, which only this origin can read; the key is the guest's own.

export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let token = "";

async function checked(asked) {
  let answer;
  try {
    answer = await asked;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The worker does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  let text = "";
  try {
    text = (await answer.json()).error;
  } catch {
    text = answer.status === 401 ? "The worker asks for its token (OUZEL_WEB_TOKEN)." : `The worker answered ${answer.status}.`;
  }
  throw new Failure(answer.status, text);
}

const asGuest = (key) => (key ? { "X-Ouzel-Guest": key } : {});

export async function opening() {
  const found = await (await checked(fetch("/page/api/opening"))).json();
  token = found.token;
  return found;
}

export const guest = async (key) => (await checked(fetch("/page/api/guest", { headers: asGuest(key) }))).json();

// Why an item is on a list, for a guest (`key`) or a user who is watched (`user`), in one of the reader's languages.
export async function why(list, item, { key, user }) {
  const asked = new URLSearchParams({ list, item, languages: navigator.languages.join(",") });
  if (user != null) asked.set("user", user);
  return (await checked(fetch(`/page/api/why?${asked}`, { headers: asGuest(key) }))).json();
}

// With `keepalive`, a request outlives the page.
export async function send(path, body, key, keepalive = false) {
  const headers = { "Content-Type": "application/json", "X-Ouzel-Token": token, ...asGuest(key) };
  return (await checked(fetch(`/page/api/${path}`, { method: "POST", headers, body: JSON.stringify(body), keepalive }))).json();
}

export async function search(text, { key, user, signal }) {
  const query = new URLSearchParams(user == null ? { q: text } : { q: text, user });
  return (await checked(fetch(`/page/api/search?${query}`, { headers: asGuest(key), signal }))).json();
}

// The server-sent events of the stream, as [name, data]. A fetch rather than an EventSource: it sends headers.
export async function* stream({ key, user, signal }) {
  const query = user == null ? "" : `?user=${encodeURIComponent(user)}`;
  const answer = await checked(fetch(`/page/api/stream${query}`, { headers: asGuest(key), signal }));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const messages = rest.split("\n\n");
    rest = messages.pop();
    for (const message of messages) {
      const lines = message.split("\n");
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      yield [field("event"), JSON.parse(field("data"))];
    }
  }
}
