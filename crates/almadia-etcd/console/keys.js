// The keys, a page at a time, and one key with its history: puts, deletions and creations, as far as compaction has left them,
// and the lease that holds it. By etcd's public API, the history by the console's, with the rights of whoever is signed in.

import { decode, decodeFromAddress, encode, encodeForAddress, get, post, prefixEnd, readable, toBytes } from "./api.js";
import { byId, facts, h, show, table } from "./dom.js";
import { bytes, count, duration } from "./words.js";

const PAGE = 50;
const VALUE_SHOWN = 4000;

let found = { kvs: [], more: false, count: 0, gone: null };
let asked = { from: new Uint8Array([0]), end: new Uint8Array([0]), revision: 0 };
let chosen = null;

const whole = (text) => text.length > VALUE_SHOWN ? `${text.slice(0, VALUE_SHOWN)}…` : text;

async function fetchPage(from) {
  const answer = await post("kv/range", { key: encode(from), range_end: encode(asked.end), limit: PAGE, revision: asked.revision, keys_only: true });
  return { kvs: answer.kvs ?? [], more: Boolean(answer.more), count: Number(answer.count ?? 0) };
}

function drawList(error) {
  const host = byId("keys-list");
  if (error) return show(host, h("p", { class: "error", role: "alert" }, error));
  const gone = found.gone ? h("p", { class: "gone-key" }, h("button", { class: "row", type: "button", "data-key": "gone", onclick: () => choose(found.gone) }, readable(decode(found.gone))), " is not there, but has a history.") : null;
  if (found.kvs.length === 0) return show(host, gone ?? h("p", { class: "faint" }, "No such keys."));
  const rows = found.kvs.map((kv) => h("tr", { "aria-current": String(kv.key === chosen) },
    h("td", {}, h("button", { class: "row", type: "button", "data-key": `key-${kv.key}`, onclick: () => choose(kv.key) }, readable(decode(kv.key)))),
    h("td", { class: "number" }, count(kv.version)), h("td", { class: "number" }, count(kv.mod_revision)), h("td", { class: "number" }, kv.lease ? "yes" : "")));
  show(host, gone, table([["key"], ["version", "number"], ["revision", "number"], ["lease", "number"]], rows),
    h("p", { class: "faint" }, `${count(found.kvs.length)} shown${found.more ? ", there are more" : ""}.`),
    found.more ? h("button", { type: "button", "data-key": "more", onclick: more }, "More") : null);
}

async function more() {
  const last = decode(found.kvs.at(-1).key);
  const from = new Uint8Array(last.length + 1); // the least key behind it
  from.set(last);
  try {
    const next = await fetchPage(from);
    found = { ...found, ...next, kvs: [...found.kvs, ...next.kvs] };
    drawList();
  } catch (error) { drawList(error.message); }
}

// The very key that was asked for, if it is not there and was once: a range does not show it.
async function goneKey(prefix, page) {
  const key = encode(prefix);
  if (prefix.length === 0 || page.kvs[0]?.key === key) return null;
  try {
    return (await changesOf(key, null)).changes.length > 0 ? key : null;
  } catch { return null; }
}

export async function find() {
  const prefix = toBytes(byId("finder-prefix").value);
  const revision = byId("finder-revision").value.replaceAll(/[\s,]/g, "");
  if (!/^\d*$/.test(revision)) return drawList("A revision is a number.");
  asked = { from: prefix.length > 0 ? prefix : new Uint8Array([0]), end: prefix.length > 0 ? prefixEnd(prefix) : new Uint8Array([0]), revision: revision || 0 };
  try {
    const page = await fetchPage(asked.from);
    found = { ...page, gone: await goneKey(prefix, page) };
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

// One change: a put with its value, or a deletion.
function entry(change) {
  const at = h("strong", {}, `revision ${count(change.revision)}`);
  if (change.deleted) return h("li", { class: "deleted", "data-revision": change.revision }, at, h("span", { class: "faint" }, " · deleted"));
  const value = decodeFromAddress(change.value);
  const cut = change.bytes > value.length ? `… (${bytes(change.bytes)} in all)` : "";
  const what = change.version === 1 ? " · created" : ` · version ${count(change.version)}`;
  return h("li", { "data-revision": change.revision }, at, h("span", { class: "faint" }, what + (change.lease ? ` · on lease ${change.lease}` : "")),
    h("pre", { class: "value mono" }, change.bytes === 0 ? "(empty)" : whole(readable(value)) + cut));
}

const changesOf = (key, below) => get(`console/history?key=${encodeForAddress(decode(key))}${below === null ? "" : `&below=${below}`}`);

// What is to be said below the oldest change that is still there.
function ending({ compacted, changes }) {
  const oldest = changes.at(-1);
  if (oldest && !oldest.deleted && oldest.version > 1) return `${count(oldest.version - 1)} older, dropped by compaction.`;
  const created = oldest && !oldest.deleted ? `Created at revision ${count(oldest.revision)}.` : "Nothing older.";
  return compacted > 0 ? `${created} What was before revision ${count(compacted)} was dropped by compaction.` : created;
}

// A page more of the key's changes, from newer to older.
async function older(key, below, host) {
  let more = null;
  try {
    const told = await changesOf(key, below);
    host.querySelector("[data-older]")?.remove();
    host.append(...told.changes.map(entry));
    if (!told.more) return host.append(h("li", { class: "end faint" }, ending(told)));
    more = h("button", { type: "button", onclick: () => older(key, told.changes.at(-1).revision, host) }, "Older");
  } catch (error) { more = h("span", { class: "error" }, error.message); }
  host.append(h("li", { class: "end", "data-older": true }, more));
}

async function choose(key) {
  chosen = key;
  drawList();
  const host = byId("key-details");
  try {
    const answer = await post("kv/range", { key, revision: asked.revision });
    const kv = answer.kvs?.[0];
    const history = h("ol", { class: "history" });
    const now = kv ? [facts([["created at", count(kv.create_revision)], ["last put at", count(kv.mod_revision)], ["version", count(kv.version)], ["value", bytes(decode(kv.value).length)]]), await leaseOf(kv)]
      : [h("p", { class: "faint" }, asked.revision ? "It was not there then." : "It is not there now.")];
    show(host, h("p", { class: "mono" }, readable(decode(key))), now, h("h3", {}, "History, newest first"), history);
    await older(key, asked.revision ? Number(asked.revision) + 1 : null, history);
  } catch (error) { show(host, h("p", { class: "error", role: "alert" }, error.message)); }
}

export function begin() {
  byId("finder").addEventListener("submit", (event) => { event.preventDefault(); find(); });
}
