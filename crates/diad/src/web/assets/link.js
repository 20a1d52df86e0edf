// The page's connection to its station: questions, and the stream of events.
"use strict";

const byId = (id) => document.getElementById(id);

/** The folder of the page, which a proxy may have put below a path. Requests to an address with a user are refused by the
    browser, which sends along what it knows by itself. */
const HERE = new URL(".", document.URL);
const hadUser = HERE.username !== "" || HERE.password !== "";
HERE.username = HERE.password = "";
const at = (path) => new URL(path, HERE).href;

/** What keeps the page from being shown, or that should not be as it is. */
function notice(words) {
  const user = hadUser ? `The address of this page holds a user or a password, which stays in the browser's history. Use ${HERE.href} instead; the browser asks for the token.` : "";
  byId("notice").textContent = [words, user].filter((each) => each).join(" ");
}

/** A question that is not answered within this time never will be: a cable is pulled. A what-if may take longer. */
const ANSWER_MS = 60_000;

async function ask(path, body) {
  const request = body === undefined ? { signal: AbortSignal.timeout(ANSWER_MS) } : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(at(path), request);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const { status } = response;
    throw Object.assign(new Error(answer.error || `the station answered ${status}`), { status });
  }
  return answer;
}

/** Without an event for so long, a station that sends one every second is gone. */
const SILENCE_MS = 5000;
const RETRY_MS = 2000;
const link = { events: null, alive: performance.now(), opened: 0 };

/** The stream that all tabs of this browser share: it opens at most six connections to a station. */
class SharedEvents extends EventTarget {
  constructor() {
    super();
    const { port } = new SharedWorker(at("stream.js"), { name: "diad-1" });
    port.onmessage = ({ data: [kind, data] }) => this.dispatchEvent(new MessageEvent(kind, { data }));
    port.postMessage("join");
    this.port = port;
  }

  close() {
    this.port.postMessage("leave");
    this.port.close();
  }
}

const isShared = () => typeof SharedWorker === "function";

function listen() {
  link.events?.close();
  link.opened = performance.now();
  link.events = isShared() ? new SharedEvents() : new EventSource(at("api/v1/events"));
  link.events.addEventListener("parts", (event) => { alive(); take(JSON.parse(event.data)); });
  link.events.addEventListener("status", (event) => {
    alive();
    const news = JSON.parse(event.data);
    if (!status) return;
    newRun(news.run);
    status = { ...status, ...news };
    drawStatus();
  });
  // What was missed meanwhile comes with everything else. An error needs no answer: either the browser comes back at
  // once, or the silence is noticed.
  link.events.addEventListener("open", start);
}

function start() {
  begin().catch((error) => {
    if (!status) notice(`The station does not show its state: ${error.message}.`);
    setTimeout(start, RETRY_MS);
  });
}

function alive() {
  link.alive = performance.now();
  document.body.classList.remove("gone");
}

/** A link may be dead without an error: a cable is pulled, a machine sleeps. */
function watch() {
  if (!link.events) return;
  const now = performance.now();
  if (now - link.alive > SILENCE_MS) gone();
  if (now - Math.max(link.alive, link.opened) > SILENCE_MS) listen();
}

/** A tab that is not seen gives its connection back, where it has one of its own. */
function turn() {
  if (document.visibilityState === "hidden") {
    if (isShared()) return;
    link.events?.close();
    link.events = null;
    // What was last seen is not what is.
    document.title = status ? `… not updated · ${status.line}/${status.station}` : document.title;
    if (status) drawIcon("starting");
    return;
  }
  if (!link.events) {
    link.alive = performance.now();
    listen();
  }
  cameras.forEach(drawCamera);
}

function gone() {
  const state = byId("state");
  state.textContent = "✕ no word from the station";
  state.className = "state gone";
  document.title = "✕ no word from the station";
  drawIcon("gone");
  // What was last seen is not what is.
  document.body.classList.add("gone");
}
