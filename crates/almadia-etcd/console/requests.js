// Who watches what on this member, and what it was slow to answer. Asked for while this view is looked at, and no longer.

import { get } from "./api.js";
import { byId, h, show, table } from "./dom.js";
import * as slow from "./slow.js";
import { state } from "./state.js";
import { count } from "./words.js";

const EVERY = 2000;

let timer = null;

function watched({ key, end }) {
  if (end === null) return key;
  if (end === "") return key === "" || key === "\0" ? "every key" : `${key} and all behind it`;
  return `${key} up to ${end}`;
}

function drawWatchers({ live, ranges }) {
  const host = byId("watchers");
  if (ranges.length === 0) return show(host, h("p", { class: "faint" }, "Nobody watches here."));
  show(host, h("p", { class: "faint" }, `${count(live)} watchers are up to date.`),
    table([["what they follow"], ["watchers", "number"]], ranges.map((range) => h("tr", {}, h("td", { class: "mono" }, watched(range)), h("td", { class: "number" }, count(range.watchers))))));
}

function drawFigures() {
  const served = state.look?.served;
  if (!served) return;
  show(byId("figures"), [["connections", served.connections], ["watches", served.watches], ["reads answered", served.reads], ["writes answered", served.writes], ["leases granted and revoked", served.leases], ["calls refused or failed", served.failed]]
    .map(([name, value]) => h("div", {}, h("b", {}, count(value)), h("span", {}, name))));
}

async function ask() {
  drawFigures();
  slow.ask();
  try {
    drawWatchers(await get("console/watchers"));
  } catch (error) { show(byId("watchers"), h("p", { class: "error" }, error.message)); }
}

export function open() {
  if (timer !== null) return;
  ask();
  timer = setInterval(ask, EVERY);
}

export function close() {
  clearInterval(timer);
  timer = null;
}
