// The end of each member's log, one below the other: same place, same entry. Colours are terms; hollow is not committed yet.

import { byId, h, s, show, table } from "./dom.js";
import { state } from "./state.js";
import { count, duration } from "./words.js";

const TERMS = 6;
const CELL = 10;
const HEIGHT = 34;

const cellsShown = () => window.innerWidth < 640 ? 18 : 32;

function lane(member, first, shown) {
  const report = member.report ?? state.lastReports.get(member.id);
  const cells = [];
  if (report) {
    const tailFirst = report.last - report.tail_terms.length + 1;
    report.tail_terms.forEach((term, offset) => {
      const index = tailFirst + offset;
      const place = index - first;
      if (place < 0 || place >= shown) return;
      const isCommitted = index <= report.committed;
      cells.push(s("rect", { class: `cell term-${term % TERMS}${isCommitted ? "" : " open"}`, x: place * CELL + 1, y: 4, width: CELL - 2.4, height: 18, rx: 2, "data-index": index },
        s("title", {}, `entry ${index}, term ${term}${isCommitted ? ", committed" : ", not committed yet"}`)));
    });
    if (report.last < first) cells.push(s("text", { class: "far", x: 2, y: 17 }, `ends before this, at entry ${count(report.last)}`));
    const applied = report.applied - first;
    if (applied >= 0 && applied < shown) cells.push(s("path", { class: "applied", d: `M${applied * CELL + 3.8} 25 l3.6 6 h-7.2 z` }, s("title", {}, `applied up to ${report.applied}`)));
  }
  const words = report ? `log up to ${report.last}, committed up to ${report.committed}, applied up to ${report.applied}` : "not known";
  return h("div", { class: "lane", "data-gone": String(!member.report), "data-lane": member.name },
    h("div", { class: "who" }, member.name, h("small", {}, report ? count(report.last) : "–")),
    s("svg", { viewBox: `0 0 ${shown * CELL} ${HEIGHT}`, preserveAspectRatio: "xMinYMid meet", role: "img", "aria-label": `${member.name}: ${words}` }, cells));
}

// The same in numbers, for whoever wants to be exact.
function positions(members) {
  const rows = members.map((member) => {
    const report = member.report ?? state.lastReports.get(member.id);
    const number = (value) => h("td", { class: "number" }, value);
    if (!report) return h("tr", {}, h("td", {}, member.name), h("td", { colspan: 6, class: "faint" }, "never answered since this page looks"));
    return h("tr", { class: member.report ? null : "faint" }, h("td", {}, member.name), h("td", {}, member.report ? report.role : `silent for ${duration(member.silent_ms)}`),
      number(report.term), number(count(report.last)), number(count(report.committed)), number(count(report.applied)), number(count(report.revision)));
  });
  return table([["member"], ["role"], ["term", "number"], ["last entry", "number"], ["committed", "number"], ["applied", "number"], ["revision", "number"]], rows);
}

function legend(terms) {
  return h("p", { class: "legend" },
    terms.slice(-4).map((term) => h("span", { class: `ink-${term % TERMS}` }, h("i", { class: "full" }), `term ${term}`)),
    h("span", {}, h("i", {}), "not committed yet"), h("span", {}, "▲ applied"));
}

export function draw() {
  if (!state.look) return;
  const members = [...state.look.members].sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  const reports = members.map((member) => member.report ?? state.lastReports.get(member.id)).filter(Boolean);
  const last = Math.max(1, ...reports.map((report) => report.last));
  const shown = cellsShown();
  const first = Math.max(1, last - shown + 1);
  const terms = [...new Set(reports.flatMap((report) => report.tail_terms))].sort((one, other) => one - other);
  show(byId("log-lanes"), h("div", { class: "lanes" }, members.map((member) => lane(member, first, shown))),
    h("p", { class: "faint" }, `Entries ${count(first)} to ${count(first + shown - 1)}.`), legend(terms));
  show(byId("positions"), positions(members));
}
