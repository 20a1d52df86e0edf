// A shared worker: one stream of events for all tabs of a browser.
"use strict";

/** A tab that misses events for 5 s asks for them; the stream is opened again at most that often. */
const SILENCE_MS = 4500;
const tabs = new Set();
let stream = null;
let moved = 0;

function send(kind, data) {
  if (kind !== "open") moved = performance.now();
  for (const tab of tabs) tab.postMessage([kind, data]);
}

function open() {
  stream?.close();
  moved = performance.now();
  stream = new EventSource("api/v1/events");
  stream.addEventListener("open", () => send("open"));
  for (const kind of ["parts", "status"]) stream.addEventListener(kind, ({ data }) => send(kind, data));
}

function join(tab) {
  tabs.add(tab);
  const isDead = !stream || stream.readyState === EventSource.CLOSED || performance.now() - moved > SILENCE_MS;
  if (isDead) open();
  else if (stream.readyState === EventSource.OPEN) tab.postMessage(["open"]);
}

function leave(tab) {
  tabs.delete(tab);
  if (tabs.size) return;
  stream?.close();
  stream = null;
}

self.onconnect = ({ ports: [tab] }) => {
  tab.onmessage = ({ data }) => (data === "join" ? join : leave)(tab);
};
