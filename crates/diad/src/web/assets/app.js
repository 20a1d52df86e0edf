// The dashboard: what the station sends, drawn as it comes. No library, nothing from elsewhere. Its connection: link.js.
"use strict";

const WHY = { late_trigger: "late trigger: its part had left the camera, or may have" };
const SIGNS = { PASS: "✓", REVIEW: "!", REJECT: "✕", UNJUDGED: "?" };
const STATES = { ready: "✓ ready", degraded: "! degraded", starting: "… starting", offline: "✕ offline" };
const TRACE = 240;
/** Problems in sight. */
const PROBLEMS = 2;
/** Scores above this many times their reject line are cut off. */
const MOST = 2.5;

let status = null;
const cameras = new Map();

/** An element with attributes and children; text never becomes markup. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text != null) node.textContent = text;
  return node;
}

const number = (value, digits = 3) => value == null ? "–" : value.toFixed(digits);
const percent = (part, all) => all ? `${(100 * part / all).toFixed(part && part / all < 0.01 ? 2 : 1)} %` : "–";
/** "2026-01-01T08:00Z" as people write it. */
const spoken = (hour) => hour.replace("T", " ").replace("Z", "");
const picture = (key, kind) => at(`api/v1/parts/${encodeURIComponent(key)}/${kind}.png`);

// ---- line -----------------------------------------------------------------------------------------------------------

/** The part that a picture shows, which may be told of a moment later than it is seen. */
async function arrival(card, seq) {
  for (let look = 0; look < 10; look++) {
    const part = card.parts.findLast((each) => each.seq === seq);
    if (part) return part;
    await new Promise((resume) => setTimeout(resume, 100));
  }
  throw new Error("not told of");
}

function cameraCard(id) {
  const card = {
    parts: [], loading: false, stale: false,
    image: el("img", { alt: `last part of ${id} with its heat map` }),
    verdict: el("p", { class: "verdict" }, "–"),
    facts: el("p", { class: "facts" }),
    mark: el("small"),
    bar: el("div", { class: "margin", role: "img" }, el("div")),
    trace: svg("svg", { class: "trace", role: "img", "aria-label": `scores of the last ${TRACE} parts of ${id}, as shares of their reject lines` }),
  };
  const legend = el("p", { class: "legend" }, el("span", {}, "older"),
    ...["PASS", "REVIEW", "REJECT"].map((word) => el("span", { class: word }, `▮ ${word.toLowerCase()}`)),
    el("span", { class: "UNJUDGED" }, "▤ unjudged"), el("span", {}, `notch: above ${MOST} ×`), el("span", {}, "newest"));
  card.node = el("article", { class: "camera", id: `camera-${id}` },
    el("div", { class: "card" }, el("h2", {}, el("span", {}, id), card.mark), card.image,
      el("div", { class: "said" }, card.verdict, card.facts, card.bar, card.trace, legend)));
  // One picture at a time, at most two a second: the line comes first. What is said beside a picture is of its part.
  card.show = async () => {
    card.stale = card.loading;
    // A tab that is not seen needs no pictures.
    if (card.loading || document.visibilityState === "hidden") return;
    card.loading = true;
    let part = card.parts.at(-1);
    try {
      const response = await fetch(at(`api/v1/cameras/${encodeURIComponent(id)}/overlay.png`));
      if (!response.ok) throw new Error(response.status);
      const seq = Number(response.headers.get("diad-part"));
      const shown = URL.createObjectURL(await response.blob());
      part = await arrival(card, seq);
      URL.revokeObjectURL(card.image.src);
      card.image.src = shown;
    } catch {
      card.image.removeAttribute("src");
    }
    if (part) drawPart(card, part);
    setTimeout(() => { card.loading = false; if (card.stale) card.show(); }, 500);
  };
  return card;
}

function drawPart(card, last) {
  card.verdict.textContent = `${SIGNS[last.verdict]} ${last.verdict}`;
  card.verdict.className = `verdict ${last.verdict}`;
  card.mark.textContent = `#${last.seq}${last.part ? ` · ${last.part}` : ""}${last.repeat ? " (this mark came before)" : ""} · ${last.product ?? "no product"}`;
  const margin = status.deadline_ms - last.latency_ms;
  card.facts.replaceChildren(
    last.reason ? `because of: ${WHY[last.reason] ?? last.reason}` : `score ${number(last.score)} (review from ${number(last.review_at)}, reject from ${number(last.reject_at)})`,
    el("br"), `${number(last.latency_ms, 0)} ms, ${number(margin, 0)} ms before the deadline`);
  const left = Math.max(0, Math.min(1, margin / status.deadline_ms));
  card.bar.className = `margin ${margin <= 0 ? "missed" : left < 0.25 ? "tight" : ""}`;
  card.bar.setAttribute("aria-label", `${number(margin, 0)} ms of ${status.deadline_ms} ms left`);
  card.bar.firstChild.style.width = `${100 * left}%`;
}

function drawCamera(card) {
  if (!card.parts.length) return;
  drawTrace(card);
  card.show();
}

/** Every score as a share of its own reject line, for each product has another one; what is far above is cut off. */
function drawTrace(card) {
  const [left, bottom] = [46, 8];
  const width = Math.max(200, card.trace.clientWidth);
  const height = Math.max(80, card.trace.clientHeight);
  const y = (share) => 4 + (height - bottom - 4) * (1 - Math.min(share, MOST) / MOST);
  const wide = (width - left - 4) / TRACE;
  card.trace.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const drawn = [];
  for (const [share, word] of [[0, "0"], [1, "reject"], [MOST, `${MOST} ×`]]) {
    drawn.push(svg("line", { class: share === 1 ? "at-reject" : "axis", x1: left, x2: width, y1: y(share), y2: y(share) }));
    drawn.push(svg("text", { x: left - 5, y: y(share) + (share === MOST ? 9 : 3) }, word));
  }
  card.parts.forEach((part, index) => {
    const x = left + wide * (index + TRACE - card.parts.length);
    if (part.score == null) {
      // A part that was not judged has no score: it stands all the way up, in stripes.
      for (let at = y(MOST); at < y(0); at += 6) drawn.push(svg("rect", { class: part.verdict, x, y: at, width: wide * 0.8, height: 3 }));
      return;
    }
    const share = part.score / Math.max(part.reject_at, 1e-6);
    drawn.push(svg("rect", { class: part.verdict, x, y: y(share), width: wide * 0.8, height: Math.max(1.5, y(0) - y(share)) }));
    if (share > MOST) drawn.push(svg("rect", { class: "notch", x, y: y(MOST) + 5, width: wide, height: 4 }));
    const review = y(part.review_at / Math.max(part.reject_at, 1e-6));
    drawn.push(svg("line", { class: "at-review", x1: x, x2: x + wide, y1: review, y2: review }));
  });
  card.trace.replaceChildren(...drawn);
}

function drawStatus() {
  byId("name").textContent = `${status.line} · ${status.station}`;
  document.title = `${STATES[status.state] ?? status.state} · ${status.line}/${status.station}`;
  const state = byId("state");
  state.textContent = STATES[status.state] ?? status.state;
  state.className = `state ${status.state}`;
  drawIcon(status.state);
  byId("clock").textContent = `${status.at.slice(0, 10)} ${status.at.slice(11, 19)} UTC`;
  const problems = status.problems.map((p) => [p.source, `since ${p.since.slice(11, 19)}: ${p.detail}`, p.notice]);
  // Before the station itself calls it a fault, after 5 s.
  if (!status.broker.connected && problems.every(([source]) => source !== "broker")) problems.push(["broker", `not connected${status.broker.last_error ? `: ${status.broker.last_error}` : ""}; verdicts wait in the ledger`]);
  // Drawn anew only when it changes: it is read out to whoever cannot see it.
  const words = problems.map(([source, detail]) => `! ${source} ${detail}`);
  const shown = [...byId("problems").querySelectorAll("li")].map((item) => item.textContent);
  if (words.join("\n") !== shown.join("\n")) drawProblems(words);
  const sources = new Set(problems.filter(([, , notice]) => !notice).map(([source]) => source));
  const components = new Set([...[...cameras.keys()].map((id) => `camera ${id}`), "broker", "ledger", "engine", ...sources]);
  byId("components").replaceChildren(...[...components].map((name) =>
    el("li", { class: sources.has(name) ? "wrong" : null }, `${sources.has(name) ? "✕" : "✓"} ${name}`)));
  const judged = status.pass + status.review + status.reject;
  const totals = [
    ["yield", percent(status.pass, status.verdicts_out), false, true], ["reject rate", percent(status.reject, judged), false, true],
    ["parts in", status.parts_in], ["verdicts out", status.verdicts_out], ["✓ pass", status.pass], ["! review", status.review],
    ["✕ reject", status.reject], ["? unjudged", status.unjudged, status.unjudged > 0], ["waiting for the broker", status.owed],
    ["least margin", status.least_margin_ms == null ? "–" : `${number(status.least_margin_ms, 0)} ms`, status.least_margin_ms < 0],
    ["unaccounted", status.unaccounted, status.unaccounted > 0],
  ];
  byId("totals").replaceChildren(...totals.map(([name, value, alarm, large]) =>
    el("div", { class: large ? "large" : null }, el("dt", {}, name), el("dd", { class: alarm ? "alarm" : null }, String(value)))));
  const names = [...byId("hours").querySelectorAll("th")].map((each) => each.textContent);
  byId("hours").tBodies[0].replaceChildren(...[...status.hours].reverse().map(({ hour, product, count }) => {
    const judged = count.pass + count.review + count.reject;
    const all = judged + count.unjudged;
    const cells = [spoken(hour), product, all, count.pass, count.review, count.reject,
      count.unjudged, percent(count.pass, all), percent(count.reject, judged)];
    return el("tr", {}, ...cells.map((cell, index) => el("td", { class: index < 2 ? "word" : null, "data-name": names[index] }, String(cell))));
  }));
  followWrite();
}

/** The sign of a tab: a disc for ready, a triangle for degraded, a cross for everything else. */
function drawIcon(state) {
  const shapes = {
    ready: '<circle cx="8" cy="8" r="7" fill="#00694d"/>', degraded: '<path d="M8 1 15 15H1Z" fill="#f0b429"/>', starting: '<circle cx="8" cy="8" r="6" fill="none" stroke="#f0b429" stroke-width="3"/>',
  };
  const shape = shapes[state] ?? '<path d="M2 2 14 14M14 2 2 14" stroke="#b23c00" stroke-width="4"/>';
  const href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${shape}</svg>`)}`;
  if (byId("icon").getAttribute("href") !== href) byId("icon").setAttribute("href", href);
  byId("icon").dataset.state = state;
}

/** The verdicts stay in sight: of many problems the first ones are shown, and the rest on demand. */
function drawProblems(words) {
  const isOpen = byId("problems").querySelector("details")?.open ?? false;
  const list = (some) => el("ul", {}, ...some.map((each) => el("li", {}, each)));
  const shown = words.length ? [list(words.slice(0, PROBLEMS))] : [];
  const rest = words.slice(PROBLEMS);
  if (rest.length) shown.push(el("details", { open: isOpen }, el("summary", {}, `${rest.length} more`), list(rest)));
  byId("problems").replaceChildren(...shown);
}

function take(parts) {
  for (const part of parts) {
    const card = cameras.get(part.camera);
    // After a break the same part may be told twice.
    if (!card || card.parts.some(({ number }) => number === part.number)) continue;
    card.parts.push(part);
    if (card.parts.length > TRACE) card.parts.shift();
  }
  new Set(parts.map((part) => part.camera)).forEach((id) => cameras.has(id) && drawCamera(cameras.get(id)));
}

async function begin() {
  const told = await ask("api/v1/status");
  notice("");
  const first = !status;
  newRun(told.run);
  status = told;
  for (const [id, { node }] of cameras) {
    if (status.cameras.some((camera) => camera.id === id)) continue;
    node.remove();
    cameras.delete(id);
  }
  for (const { id, parts } of status.cameras) {
    if (!cameras.has(id)) {
      cameras.set(id, cameraCard(id));
      byId("cameras").append(cameras.get(id).node);
    }
    // What was told while the answer was on its way is newer than it.
    const card = cameras.get(id);
    card.parts = [...parts, ...card.parts.filter(({ number }) => number > (parts.at(-1)?.number ?? 0))].slice(-TRACE);
    drawCamera(card);
  }
  drawStatus();
  if (!first) return;
  show();
  loadReview();
}

/** Parts are numbered anew by every run of the station. */
function newRun(run) {
  if (status && status.run !== run) cameras.forEach((card) => { card.parts = []; });
}

// ---- review ---------------------------------------------------------------------------------------------------------

/** Parts that the queue holds; more may wait. */
const QUEUE = 60;
const REFRESH_MS = 30_000;
/** `next`: what lies before this row has not been looked at; null: everything has. `newest`: what came after it has not.
    `words` grows with every word that is said: a look that began before knows nothing of it. */
const review = { parts: [], at: 0, said: [], words: 0, saying: false, looking: false, next: undefined, newest: 0 };

/** Looks for parts in the record, newest first, until the queue is full or the record ends. What an earlier look found is
    not looked for again. A long record takes many pages: what is found is shown as it comes, where nothing else is. */
async function loadReview() {
  if (review.looking) return;
  review.looking = true;
  const { words } = review;
  const known = { ...review };
  let [parts, looked, next, newest] = [[], 0];
  try {
    do {
      const page = await ask(`api/v1/parts?queue=true&limit=${QUEUE}${next == null ? "" : `&before=${next}`}`);
      looked += page.looked_at;
      newest ??= page.newest ?? 0;
      parts.push(...page.parts);
      next = page.next;
      // This look has reached what was known: from there on the rest of it holds.
      if (next != null && known.next !== undefined && next <= known.newest) {
        const reached = next;
        parts.push(...known.parts.filter(({ id }) => id < reached));
        next = known.next == null ? null : Math.min(known.next, next);
        known.next = undefined;
      }
      if (parts.length > QUEUE) {
        parts = parts.slice(0, QUEUE);
        next = parts.at(-1).id;
      }
      if (words !== review.words) return;
      const isMore = parts.length < QUEUE && next != null;
      if (isMore && !parts.length && !known.parts.length) note(`None among the last ${looked} parts; looking further back.`);
      if (isMore && (known.parts.length || !parts.length)) continue;
      const said = await saidElsewhere(parts);
      if (words !== review.words) return;
      showQueue({ parts: [...parts], next, newest }, said);
    } while (parts.length < QUEUE && next != null);
  } catch (error) {
    complain(error.message);
  } finally {
    review.looking = false;
    if (words !== review.words) loadReview();
  }
}

function showQueue({ parts, next, newest }, said) {
  // The part that a person looks at stays while a finger may be on the key.
  const before = byId("review").hidden ? null : review.parts[review.at];
  let at = parts.findIndex(({ key }) => key === before?.key);
  if (before && at < 0 && before.key !== said) {
    at = Math.min(review.at, parts.length);
    parts.splice(at, 0, before);
  }
  Object.assign(review, { parts, next, newest, at: Math.max(0, at) });
  complain("");
  drawReview();
}

/** The part that is being looked at, if it is not in a new list because somebody else has said something of it, or because
    it is not on record any more. */
async function saidElsewhere(parts) {
  const key = review.parts[review.at]?.key;
  if (byId("review").hidden || !key || parts.some((part) => part.key === key)) return null;
  const gone = (error) => error.status === 404 ? { mark: "gone" } : Promise.reject(error);
  const { mark } = await ask(`api/v1/parts/${encodeURIComponent(key)}`).catch(gone);
  return mark == null ? null : key;
}

function complain(words) {
  byId("complaint").textContent = words;
}

function note(words) {
  delete byId("looked").dataset.shows;
  byId("looked").replaceChildren(el("p", {}, words));
}

function drawReview() {
  const part = review.parts[review.at];
  const { length } = review.parts;
  byId("waiting-review").textContent = length ? `(${length}${review.next != null || length > QUEUE ? "+" : ""})` : "";
  const focused = byId("queue").contains(document.activeElement);
  byId("queue").replaceChildren(...review.parts.map((each, index) => el("li", {}, el("button", {
    type: "button", "aria-current": index === review.at, onclick: () => { review.at = index; drawReview(); },
  }, thumbnail(each), el("b", { class: each.verdict }, `${SIGNS[each.verdict]} ${each.verdict}`), `${number(each.score)} · ${each.product ?? "–"}`))));
  if (focused) byId("queue").querySelector("[aria-current=true]")?.focus();
  if (!part) {
    note("✓ Nothing waits for a person.");
    return;
  }
  // What is there and the same stays, with the focus of whoever stands on it.
  const shows = `${part.key} ${part.pictures}`;
  if (byId("looked").dataset.shows === shows) return;
  byId("looked").dataset.shows = shows;
  if (!part.pictures.length && !part.asked) {
    // The newest part may be on record before its pictures are on the disk.
    part.asked = true;
    setTimeout(async () => {
      Object.assign(part, await ask(`api/v1/parts/${encodeURIComponent(part.key)}`).catch(() => ({})));
      if (review.parts[review.at] === part) drawReview();
    }, 500);
  }
  const shown = ["frame", "heatmap", "overlay"].filter((kind) => part.pictures.includes(kind)).map((kind) =>
    el("figure", {}, el("img", { src: picture(part.key, kind), alt: kind }), el("figcaption", {}, kind)));
  if (!shown.length) shown.push(el("p", { class: "note" }, "No picture of this part is kept."));
  byId("looked").replaceChildren(...shown, el("div", { class: "words" },
    el("b", { class: `verdict ${part.verdict}` }, `${SIGNS[part.verdict]} ${part.verdict}`),
    `score ${number(part.score)}, review from ${number(part.review_at)}, reject from ${number(part.reject_at)}`, el("br"),
    `${part.product ?? "no product"} · ${part.camera} #${part.seq}${part.part ? ` · ${part.part}` : ""}`, el("br"),
    part.captured_at.slice(0, 19).replace("T", " "), " UTC", el("br"),
    el("button", { type: "button", onclick: () => say("true_reject") }, "T  it is bad"),
    el("button", { type: "button", onclick: () => say("false_reject") }, "F  it is good")));
}

function thumbnail(part) {
  const kind = ["overlay", "frame"].find((each) => part.pictures.includes(each));
  return kind ? el("img", { src: picture(part.key, kind), alt: "", loading: "lazy" }) : el("div", {}, "no picture");
}

/** One word at a time: has the station keep it, then does what follows from it. */
async function tellStation(part, mark, then) {
  if (review.saying) return;
  review.saying = true;
  try {
    await ask(`api/v1/parts/${encodeURIComponent(part.key)}/mark`, { mark });
    // What was asked before does not know of it.
    ++review.words;
    complain("");
    then();
    drawReview();
    if (review.next !== null && review.parts.length < QUEUE / 2) loadReview();
  } catch (error) {
    complain(error.message);
    if (error.status === 404) forget(part);
  } finally {
    review.saying = false;
  }
}

/** A part that has left the record waits for nobody. */
function forget({ key }) {
  review.parts = review.parts.filter((each) => each.key !== key);
  review.said = review.said.filter(({ part }) => part.key !== key);
  review.at = Math.min(review.at, Math.max(0, review.parts.length - 1));
  drawReview();
}

async function say(mark) {
  const part = review.parts[review.at];
  if (!part) return;
  await tellStation(part, mark, () => {
    // The list may have changed while the station answered.
    const at = review.parts.findIndex(({ key }) => key === part.key);
    review.said.push({ part, at: Math.max(0, at) });
    if (at < 0) return;
    review.parts.splice(at, 1);
    if (review.at > at) review.at--;
    review.at = Math.min(review.at, Math.max(0, review.parts.length - 1));
  });
}

async function takeBack() {
  const last = review.said.at(-1);
  if (!last) return;
  await tellStation(last.part, null, () => {
    review.said.pop();
    const there = review.parts.findIndex(({ key }) => key === last.part.key);
    review.at = there < 0 ? Math.min(last.at, review.parts.length) : there;
    if (there < 0) review.parts.splice(review.at, 0, last.part);
  });
}

// ---- what if --------------------------------------------------------------------------------------------------------

/** `seen`: the thresholds that the sliders started from; `moved`: which sliders a person has moved since. */
const whatIf = { timer: 0, asked: 0, seen: null, moved: new Set(), awaited: null };
const SLIDERS = ["review", "reject"];
/** In the list of products: those without an entry of their own. No product can be named so. */
const OTHERS = "";

const cutsOf = ({ products, default: base }, product) => Object.hasOwn(products, product) ? products[product] : base;

function loadWhatIf() {
  const seen = status.hours.map(({ product }) => product).filter((name) => !name.startsWith("("));
  const names = [...new Set([...Object.keys(status.thresholds.products), ...seen])].sort();
  const select = byId("product");
  // At first the product that is on the line.
  const last = [...cameras.values()].map((card) => card.parts.at(-1)).filter((part) => part).sort((a, b) => a.number - b.number).at(-1);
  const wanted = select.options.length ? select.value : last?.product ?? OTHERS;
  select.replaceChildren(...names.map((name) => el("option", { value: name }, name)), el("option", { value: OTHERS }, "all others (default)"));
  select.value = names.includes(wanted) ? wanted : OTHERS;
  setSliders();
}

function setSliders() {
  const cuts = cutsOf(status.thresholds, byId("product").value);
  const top = Math.min(1, Math.max(0.01, cuts.reject * 2.5));
  for (const id of SLIDERS) {
    byId(`${id}-at`).max = top;
    byId(`${id}-at`).step = top / 400;
    byId(`${id}-at`).value = cuts[id];
  }
  whatIf.seen = status.thresholds;
  whatIf.moved.clear();
  drawInForce();
  propose();
}

/** What a person has set, and to the last digit what was in force where nobody has: a slider knows its steps only. */
function proposal() {
  const cuts = cutsOf(whatIf.seen, byId("product").value);
  const [review, reject] = SLIDERS.map((id) => whatIf.moved.has(id) ? Math.round(byId(`${id}-at`).value * 1e4) / 1e4 : cuts[id]);
  return { product: byId("product").value || null, review, reject, digest: whatIf.seen.digest };
}

function propose() {
  const { review, reject } = proposal();
  byId("review-value").textContent = number(review, 4);
  byId("reject-value").textContent = number(reject, 4);
  byId("write").disabled = review > reject || !whatIf.moved.size;
  tell(review > reject ? "review must not be above reject" : "", review > reject);
  clearTimeout(whatIf.timer);
  if (review <= reject) whatIf.timer = setTimeout(answer, 300);
}

function drawInForce() {
  const cuts = cutsOf(status.thresholds, byId("product").value);
  for (const id of SLIDERS) byId(`${id}-now`).textContent = `in force: ${number(cuts[id], 4)}`;
}

function tell(words, wrong = false) {
  byId("told").textContent = words;
  byId("told").className = wrong ? "wrong" : "";
}

function tellWritten(words, wrong = false) {
  byId("written").textContent = words;
  byId("written").className = wrong ? "wrong" : "";
}

async function answer() {
  const asked = ++whatIf.asked;
  const seconds = byId("span").value;
  const since = seconds ? new Date(Date.now() - 1000 * seconds).toISOString() : undefined;
  try {
    const said = await ask("api/v1/whatif", { change: proposal(), since });
    if (asked === whatIf.asked) drawAnswer(said);
  } catch (error) {
    // Another one is being computed: this one after it.
    if (asked === whatIf.asked && /another what-if/.test(error.message)) whatIf.timer = setTimeout(answer, 500);
    else if (asked === whatIf.asked) tell(error.message, true);
  }
}

/** What an answer cannot know. */
function caveats(said) {
  return [
    [said.unjudged, "parts were not judged; they stay so"],
    [said.damaged, "damaged rows left out; see diad ledger verify"],
    [said.by_score_alone, "parts by their score alone: min_area_px needs the map, which is not on record, and could only lower them"],
    [said.mask_unknown, "parts by the score on record, which may have been taken under another roi or ignore"],
  ].filter(([count]) => count).map(([count, words]) => el("li", {}, `${count} ${words}`));
}

function drawAnswer(said) {
  tell(`${said.judged} judged parts: ${said.rejects_added} rejects more, ${said.rejects_removed} fewer, ${said.changed.total} verdicts change.` +
    (said.marked.bad + said.marked.good ? ` Of ${said.marked.bad} parts called bad ${said.marked.bad_that_pass} would pass; of ${said.marked.good} called good ${said.marked.good_rejected} would be rejected.` : ""));
  const table = (names, groups) => el("table", {}, el("thead", {}, el("tr", {}, ...[...names, "rejects more", "rejects fewer"].map((name) => el("th", { scope: "col", class: names.includes(name) ? "word" : null }, name)))),
    el("tbody", {}, ...groups.map((group) => el("tr", {}, ...[...names.map((name) => group[name] ?? "–"), group.rejects_added, group.rejects_removed].map((cell) => el("td", { class: typeof cell === "string" ? "word" : null }, String(cell)))))));
  const busy = said.by_hour.filter((hour) => hour.rejects_added + hour.rejects_removed > 0)
    .map((hour) => ({ ...hour, "hour (UTC)": spoken(hour.hour) }));
  const changed = said.changed.listed.map((part) => el("figure", {},
    part.picture ? el("img", { src: picture(part.key, "overlay"), alt: "", loading: "lazy" }) : el("div", { class: "note" }, "no picture"),
    el("figcaption", {}, `${part.product} ${number(part.score)}`, el("br"), el("span", { class: part.before }, `${SIGNS[part.before]} ${part.before}`), " → ",
      el("span", { class: part.after }, `${SIGNS[part.after]} ${part.after}`))));
  byId("answer").replaceChildren(el("ul", { class: "note", id: "caveats" }, ...caveats(said)),
    el("section", {}, el("h2", {}, "By product and camera"), table(["product", "camera"], said.by_product)),
    el("section", {}, el("h2", {}, "By hour"), busy.length ? table(["hour (UTC)"], busy) : el("p", { class: "note" }, "no reject comes or goes")),
    el("section", {}, el("h2", {}, `Parts whose verdict changes${said.changed.total > said.changed.listed.length ? ` (the first ${said.changed.listed.length})` : ""}`),
      changed.length ? el("div", { class: "changed" }, ...changed) : el("p", { class: "note" }, "none")));
}

async function write() {
  byId("write").disabled = true;
  try {
    const { thresholds } = await ask("api/v1/thresholds", proposal());
    whatIf.awaited = { digest: thresholds, before: status.thresholds.digest };
    tellWritten(`written to ${status.thresholds.file}; in force within a second`);
    followWrite();
  } catch (error) {
    tellWritten(error.message, true);
    byId("write").disabled = false;
  }
}

/** The line takes what was written like any other save; somebody else's may come after it. */
function followWrite() {
  const { digest } = status.thresholds;
  if (whatIf.awaited && digest !== whatIf.awaited.before) {
    tellWritten(digest === whatIf.awaited.digest ? `in force: ${digest}` : `another save came after it; in force: ${digest}`);
    whatIf.awaited = null;
    whatIf.moved.clear();
  }
  if (byId("whatif").hidden || whatIf.seen?.digest === digest) return;
  drawInForce();
  // Whoever has moved nothing sees what is in force; whoever has is told by the station when he writes.
  if (!whatIf.moved.size) setSliders();
}

// ---- views and keys -------------------------------------------------------------------------------------------------

const VIEWS = ["line", "review", "whatif"];

function show() {
  const view = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "line";
  for (const each of VIEWS) {
    byId(each).hidden = each !== view;
    const link = document.querySelector(`nav a[href="#${each}"]`);
    if (each === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "review" && status) loadReview();
  if (view === "whatif" && status) loadWhatIf();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  const view = VIEWS["123".indexOf(event.key)];
  if (view) location.hash = view;
  if (byId("review").hidden) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && review.parts.length) {
    review.at = (review.at + step + review.parts.length) % review.parts.length;
    drawReview();
  }
  // A key that is held down speaks once.
  if (event.repeat) return;
  const key = event.key.toLowerCase();
  if (key === "t") say("true_reject");
  if (key === "f") say("false_reject");
  if (key === "u") takeBack();
});

window.addEventListener("hashchange", show);
window.addEventListener("resize", () => cameras.forEach((card) => card.parts.length && drawTrace(card)));
byId("product").addEventListener("change", setSliders);
byId("again").addEventListener("click", setSliders);
byId("span").addEventListener("change", propose);
for (const id of SLIDERS) byId(`${id}-at`).addEventListener("input", () => { whatIf.moved.add(id); propose(); });
byId("write").addEventListener("click", write);
listen();
document.addEventListener("visibilitychange", turn);
window.addEventListener("pagehide", (event) => { if (!event.persisted) link.events?.close(); });
setInterval(watch, 1000);
setInterval(() => status && !review.saying && loadReview(), REFRESH_MS);
