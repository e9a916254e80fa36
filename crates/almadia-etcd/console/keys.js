// The keys, a page at a time, and one key with its history: each put since it was created, as far as compaction has left it,
// and the lease that holds it. All of it by etcd's public API, with the rights of whoever is signed in.

import { decode, encode, post, prefixEnd, readable, toBytes } from "./api.js";
import { byId, facts, h, show, table } from "./dom.js";
import { bytes, count, duration } from "./words.js";

const PAGE = 50;
const HISTORY_PAGE = 10;
const VALUE_SHOWN = 4000;

let found = { kvs: [], more: false, count: 0 };
let asked = { from: new Uint8Array([0]), end: new Uint8Array([0]), revision: 0 };
let chosen = null;

const whole = (text) => text.length > VALUE_SHOWN ? `${text.slice(0, VALUE_SHOWN)}…` : text;
const valueOf = (kv) => h("pre", { class: "value mono" }, kv.value ? whole(readable(decode(kv.value))) : "(empty)");

async function fetchPage(from) {
  const answer = await post("kv/range", { key: encode(from), range_end: encode(asked.end), limit: PAGE, revision: asked.revision, keys_only: true });
  return { kvs: answer.kvs ?? [], more: Boolean(answer.more), count: Number(answer.count ?? 0) };
}

function drawList(error) {
  const host = byId("keys-list");
  if (error) return show(host, h("p", { class: "error", role: "alert" }, error));
  if (found.kvs.length === 0) return show(host, h("p", { class: "faint" }, "No such keys."));
  const rows = found.kvs.map((kv) => h("tr", { "aria-current": String(kv.key === chosen) },
    h("td", {}, h("button", { class: "row", type: "button", "data-key": `key-${kv.key}`, onclick: () => choose(kv.key) }, readable(decode(kv.key)))),
    h("td", { class: "number" }, count(kv.version)), h("td", { class: "number" }, count(kv.mod_revision)), h("td", { class: "number" }, kv.lease ? "yes" : "")));
  show(host, table([["key"], ["version", "number"], ["revision", "number"], ["lease", "number"]], rows),
    h("p", { class: "faint" }, `${count(found.kvs.length)} shown${found.more ? ", there are more" : ""}.`),
    found.more ? h("button", { type: "button", "data-key": "more", onclick: more }, "More") : null);
}

async function more() {
  const last = decode(found.kvs.at(-1).key);
  const from = new Uint8Array(last.length + 1); // the least key behind it
  from.set(last);
  try {
    const next = await fetchPage(from);
    found = { ...next, kvs: [...found.kvs, ...next.kvs] };
    drawList();
  } catch (error) { drawList(error.message); }
}

export async function find() {
  const prefix = toBytes(byId("finder-prefix").value);
  const revision = byId("finder-revision").value.replaceAll(/[\s,]/g, "");
  if (!/^\d*$/.test(revision)) return drawList("A revision is a number.");
  asked = { from: prefix.length > 0 ? prefix : new Uint8Array([0]), end: prefix.length > 0 ? prefixEnd(prefix) : new Uint8Array([0]), revision: revision || 0 };
  try {
    found = await fetchPage(asked.from);
    drawList();
  } catch (error) { drawList(error.message); }
}

async function leaseOf(kv) {
  if (!kv.lease) return h("p", { class: "faint" }, "No lease holds it: it stays until it is deleted.");
  const hex = BigInt.asUintN(64, BigInt(kv.lease)).toString(16);
  try {
    const lease = await post("lease/timetolive", { ID: kv.lease, keys: true });
    const left = Number(lease.TTL ?? 0);
    const others = (lease.keys ?? []).length;
    return facts([["held by lease", h("span", { class: "mono" }, hex)], ["left", left < 0 ? "expired" : duration(left * 1000)], ["granted", duration(Number(lease.grantedTTL ?? 0) * 1000)], ["keys on it", count(others)]]);
  } catch (error) {
    return facts([["held by lease", h("span", { class: "mono" }, hex)], ["time left", `not shown: ${error.message}`]]);
  }
}

const entry = (kv) => h("li", { "data-revision": kv.mod_revision }, h("strong", {}, `revision ${count(kv.mod_revision)}`), h("span", { class: "faint" }, ` · version ${count(kv.version)}`), valueOf(kv));

// Goes back from put to put: what the key was at the revision before each.
async function older(key, kv, host) {
  const items = [];
  let end = null;
  let next = kv;
  while (items.length < HISTORY_PAGE) {
    if (Number(next.version) === 1) { end = `Created at revision ${count(next.create_revision)}.`; break; }
    try {
      const answer = await post("kv/range", { key, revision: String(BigInt(next.mod_revision) - 1n) });
      if (!answer.kvs) { end = "Nothing older."; break; }
      next = answer.kvs[0];
      items.push(entry(next));
    } catch (error) {
      end = /compacted/.test(error.message) ? `${count(Number(next.version) - 1)} older, dropped by compaction.` : error.message;
      break;
    }
  }
  host.querySelector("[data-older]")?.remove();
  host.append(...items, end ? h("li", { class: "end faint" }, end) : h("li", { class: "end", "data-older": true }, h("button", { type: "button", onclick: () => older(key, next, host) }, "Older")));
}

async function choose(key) {
  chosen = key;
  drawList();
  const host = byId("key-details");
  try {
    const answer = await post("kv/range", { key, revision: asked.revision });
    const kv = answer.kvs?.[0];
    if (!kv) return show(host, h("p", {}, "It is no longer there."));
    const history = h("ol", { class: "history" }, entry(kv));
    const lease = await leaseOf(kv);
    show(host, h("p", { class: "mono" }, readable(decode(kv.key))),
      facts([["created at", count(kv.create_revision)], ["last put at", count(kv.mod_revision)], ["version", count(kv.version)], ["value", bytes(decode(kv.value).length)]]), lease, h("h3", {}, "History, newest first"), history);
    await older(key, kv, history);
  } catch (error) { show(host, h("p", { class: "error", role: "alert" }, error.message)); }
}

export function begin() {
  byId("finder").addEventListener("submit", (event) => { event.preventDefault(); find(); });
}
