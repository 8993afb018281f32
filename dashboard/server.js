// The public API and nothing else: what this page can do, anybody's program can do.

const KEY = "frostline-key";

/** What the server has against a request. */
export class Refused extends Error {
  constructor(document, status) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.problems = document.errors ?? [];
  }
}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

/** Ask the person for a key, once for all requests that were refused meanwhile. */
let asking = null;
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const value = document.getElementById("key-value");
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, value.value);
      value.value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. This page goes on when it does.");
  }
  if (answer.status === 401) {
    await askForKey();
    return send(path, options);
  }
  if (!answer.ok) {
    const document = await answer.json().catch(() => ({}));
    throw new Refused(document, answer.status);
  }
  return answer;
}

/** As `ask`, but wait while the server says that it will be able to in a moment. */
export async function askPatiently(path, options) {
  for (let tries = 15; ; tries -= 1) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.status !== 503 || !tries) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Send a request and return the JSON of its answer. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const json = body !== undefined && !(body instanceof FormData);
  const answer = await send(path, {
    method, signal,
    body: json ? (typeof body === "string" ? body : JSON.stringify(body)) : body,
    headers: { Accept: "application/json", ...(json ? { "Content-Type": "application/json" } : {}) },
  });
  return answer.status === 204 ? null : answer.json();
}

export async function text(path, signal) {
  return (await send(path, { signal, headers: { Accept: "text/plain" } })).text();
}

/** Save a file of the server under its name. */
export async function save(path, name) {
  const content = await (await send(path, {})).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const wait = (milliseconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/**
 * Call `take(type, data)` for each event of a job until it has ended. Not EventSource,
 * which cannot send a key; like it, this goes on after the last event that arrived.
 */
export async function follow(job, take, signal) {
  const path = `/v1/jobs/${encodeURIComponent(job)}/events`;
  let last = null, delay = 250;
  while (!signal.aborted) {
    try {
      const more = last === null ? {} : { "Last-Event-ID": last };
      const answer = await send(path, { signal, headers: { Accept: "text/event-stream", ...more } });
      for await (const event of events(answer.body)) {
        delay = 250;
        last = event.id ?? last;
        take(event.type, event.data);
        if (event.type === "done") return;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status < 500)) return;
    }
    await wait(delay, signal);
    delay = Math.min(2 * delay, 5000);
  }
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const line of block.split(/\r?\n/)) {
        const colon = line.indexOf(":");
        if (colon < 1) continue; // a comment keeps the connection alive
        const name = line.slice(0, colon), part = line.slice(colon + 1).replace(/^ /, "");
        fields[name] = name in fields ? `${fields[name]}\n${part}` : part;
      }
      if (fields.data === undefined) continue;
      const found = JSON.parse(fields.data);
      yield { id: fields.id, type: fields.event ?? "message", data: found.data ?? found };
    }
  }
}
