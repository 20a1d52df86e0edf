// The functions of the Node-RED flow on messages as a station sends them.
"use strict";
const assert = require("node:assert");
const { readFileSync } = require("node:fs");

const flow = JSON.parse(readFileSync("docs/plc/nodered.json", "utf8"));
const ids = new Set(flow.map((node) => node.id));
for (const node of flow) for (const wire of (node.wires || []).flat()) assert(ids.has(wire), `${node.id} leads to ${wire}`);

const store = () => { const kept = new Map(); return { get: (key) => kept.get(key), set: (key, value) => kept.set(key, value) }; };
const shared = store();
const functionOf = (id) => {
  const own = store();
  const body = new Function("msg", "flow", "context", flow.find((node) => node.id === id).func);
  return (msg) => body(msg, shared, own);
};
const parse = functionOf("diad-parse");
const watch = functionOf("diad-watch");

assert.strictEqual(watch({}).payload, 1, "nobody has spoken yet");
for (const [level, message, want] of JSON.parse(readFileSync("tests/plc/messages.json", "utf8"))) {
  const said = parse({ topic: `factory/L1/S1/${level}`, payload: JSON.stringify(message) });
  if (want === null) assert.strictEqual(said, null, JSON.stringify(message));
  else {
    assert.strictEqual(said[0].payload.seq, message.seq);
    assert.strictEqual(said[1] && said[1].payload, want === "record" ? null : want, JSON.stringify(message));
  }
}
shared.set("state", "ready");
assert.strictEqual(watch({}), null);
shared.set("heard_at", Date.now() - 3100);
assert.strictEqual(watch({}).payload, 1, "silence is reject");
for (const nonsense of ["", "[]", "{", "7"]) assert.strictEqual(parse({ topic: "a/verdict", payload: nonsense }), null);
console.log("plc: the flow decides as it should");
