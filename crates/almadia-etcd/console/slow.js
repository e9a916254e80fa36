// The last requests that this member was slow to answer, and where their time went: as a bar, in numbers and in words.

import { get } from "./api.js";
import { byId, h, s, show, table } from "./dom.js";
import { count, duration, plural, time } from "./words.js";

const BAR = 120;
// Shorter parts than this share of the whole are not named.
const NAMED_FROM = 0.01;

const ms = (micros) => duration(micros / 1000);

function bar(request) {
  const whole = Math.max(request.took_us, 1);
  let from = 0;
  const rects = Object.entries(request.parts_us).map(([part, micros]) => {
    const width = micros / whole * BAR;
    from += width;
    return s("rect", { class: `part-${part}`, x: from - width, width, height: 8 }, s("title", {}, `${part} ${ms(micros)}`));
  });
  return s("svg", { class: "parts", viewBox: `0 0 ${BAR} 8`, width: BAR, height: 8, "aria-hidden": "true", preserveAspectRatio: "none" }, rects);
}

const where = (request) => Object.entries(request.parts_us).filter(([, micros]) => micros >= request.took_us * NAMED_FROM)
  .sort(([, one], [, other]) => other - one).map(([part, micros]) => `${part} ${ms(micros)}`).join(", ");

const row = (request) => h("tr", { "data-slow": request.method },
  h("td", { class: "number" }, time(request.at_ms)),
  h("td", {}, request.method.split(".").at(-1), request.key ? h("span", { class: "mono faint" }, ` ${request.key}`) : null, request.client ? h("span", { class: "why" }, `from ${request.client}`) : null),
  h("td", { class: "number" }, ms(request.took_us)),
  h("td", {}, bar(request), h("span", {}, where(request)), h("span", { class: "why" }, request.words)));

function summary({ counts, threshold_ms: threshold }) {
  const total = counts.reduce((sum, one) => sum + one.count, 0);
  if (threshold === null) return "Nothing counts as slow: --slow-request-threshold is 0.";
  if (total === 0) return `No request took ${duration(threshold)} or longer since this member was started.`;
  const most = counts.reduce((one, other) => other.count > one.count ? other : one);
  return `${plural(total, "request")} took ${duration(threshold)} or longer since this member was started; ${count(most.count)} of them because ${most.words}.`;
}

export async function ask() {
  const host = byId("slow");
  try {
    const told = await get("console/slow");
    show(host, h("p", { class: "faint" }, summary(told)),
      told.recent.length === 0 ? null : table([["at", "number"], ["request"], ["took", "number"], ["where its time went"]], told.recent.map(row)));
  } catch (error) { show(host, h("p", { class: "error" }, error.message)); }
}
