// Put into the page by the test of its layout: arranges what a station may send, and finds text that cannot be read.
"use strict";

const MOMENT = "2026-01-01T08:00:00.123456Z";
const WORDS = ["PASS", "REVIEW", "REJECT", "UNJUDGED"];
const named = (isLong, short, index) => isLong ? `${short}${index}-`.padEnd(64, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") : `${short}${index}`;

/** Ends the stream, and shows a station of so many cameras. */
function arrange({ count, isLong, first, state, problems }) {
  link.events?.close();
  link.events = null;
  window.watch = window.loadReview = () => {};
  window.fetch = async () => new Response("", { status: 404 });
  cameras.forEach(({ node }) => node.remove());
  cameras.clear();
  const part = (camera, index) => {
    const verdict = WORDS[(first + index) % 4];
    const judged = verdict !== "UNJUDGED";
    return {
      camera, number: index + 1, seq: 123456789, part: named(isLong, "P-", index), product: named(isLong, "gear", index), verdict,
      reason: judged ? null : "late_trigger", score: judged ? 0.731 : null, review_at: 0.3, reject_at: 0.38, latency_ms: 1237.6, repeat: isLong,
    };
  };
  const ids = Array.from({ length: count }, (_, index) => named(isLong, "cam", index));
  const hours = [0, 1].map((index) => ({ hour: "2026-01-01T08:00Z", product: named(isLong, "gear", index), count: { pass: 123456, review: 1234, reject: 12345, unjudged: 12 } }));
  const faults = Array.from({ length: problems }, (_, index) => ({
    source: index ? `camera ${ids[0]}` : "thresholds", since: MOMENT, notice: false,
    detail: "/etc/diad/thresholds.yaml:1:20: default.review: 2 is out of range, allowed: 0 to 1; the thresholds before stay in force",
  }));
  status = {
    line: named(isLong, "L", 1), station: named(isLong, "S", 1), run: "r", at: MOMENT, state, problems: faults, parts_in: 123456789, verdicts_out: 123456788,
    pass: 100000000, review: 2345678, reject: 12345678, unjudged: 12345, waiting: 1, unaccounted: 1, owed: 1234567, deadline_ms: 2000,
    broker: { connected: problems === 0, last_error: problems ? "connection refused (os error 111)" : null }, least_margin_ms: -123,
    thresholds: { digest: "sha256:0", file: "/etc/diad/thresholds.yaml", default: { review: 0.3, reject: 0.4, min_area_px: 0 }, products: {} }, hours,
  };
  ids.forEach((id, index) => {
    const card = cameraCard(id);
    cameras.set(id, card);
    byId("cameras").append(card.node);
    card.parts = [part(id, index)];
    drawPart(card, card.parts[0]);
  });
  cameras.forEach(drawTrace);
  document.body.classList.remove("gone");
  drawStatus();
  if (state === "gone") gone();
}

const isSeen = (node) => node.checkVisibility({ visibilityProperty: true });
const nameOf = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""}.${[...node.classList].join(".")}`;

/** Every piece of text that is seen: its element, and the rectangles of its lines. */
function texts() {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || /^(SCRIPT|NOSCRIPT|OPTION)$/.test(element.tagName) || !isSeen(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const size = parseFloat(getComputedStyle(element).fontSize);
    const lines = [...range.getClientRects()].filter(({ width }) => width > 0);
    found.push({ element, words: text.data.trim().slice(0, 30), size, lines });
  }
  return found;
}

/** What cannot be read or touched. */
function layoutFaults({ isTouch }) {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide, the window ${root.clientWidth}`);
  const all = texts();
  for (const { element, words, size, lines } of all) {
    for (let box = element; box && box !== root; box = box.parentElement) {
      const style = getComputedStyle(box);
      if (style.display === "inline" || style.display === "contents") continue;
      const outer = box.getBoundingClientRect();
      const [across, down] = [1, 0.3 * size + 1];
      const isOut = lines.some((line) => line.left < outer.left - across || line.right > outer.right + across || line.top < outer.top - down || line.bottom > outer.bottom + down);
      if (isOut) {
        faults.push(`"${words}" of ${nameOf(element)} leaves ${nameOf(box)}`);
        break;
      }
    }
  }
  const share = byId("problems").getBoundingClientRect().height / innerHeight;
  if (share > 0.4) faults.push(`the problems take ${share.toFixed(2)} of the window`);
  const lines = all.flatMap(({ words, size, lines }) => lines.map((line) => ({ words, line, down: 0.25 * size })));
  lines.forEach((one, index) => lines.slice(index + 1).forEach((other) => {
    const across = Math.min(one.line.right, other.line.right) - Math.max(one.line.left, other.line.left);
    const down = Math.min(one.line.bottom, other.line.bottom) - Math.max(one.line.top, other.line.top);
    if (across > 2 && down > one.down + other.down) faults.push(`"${one.words}" lies on "${other.words}"`);
  }));
  if (!isTouch) return faults;
  for (const target of document.querySelectorAll("a, button, select, input, summary")) {
    const { width, height } = target.getBoundingClientRect();
    if (isSeen(target) && (width < 43.5 || height < 43.5)) faults.push(`${nameOf(target)} "${target.textContent.trim()}" is ${Math.round(width)} × ${Math.round(height)} px`);
  }
  return faults;
}

/** The height of the letters of the smallest verdict, as a share of the screen's. Capitals have 0.7 of the size of their font. */
const verdictShare = () => Math.min(...[...document.querySelectorAll(".camera .verdict")].map((word) => 0.7 * parseFloat(getComputedStyle(word).fontSize))) / innerHeight;
