// What happened when: a lane for each member coloured by what it was, lines where terms begin, marks for changes of the
// membership and snapshots, and how much was committed. Below it the same in words.

import { byId, h, s, show } from "./dom.js";
import { nameOf, state } from "./state.js";
import { duration, explain, time } from "./words.js";

const SPANS = [["2 minutes", 120_000], ["5 minutes", 300_000], ["15 minutes", 900_000]];
const LANE = 24;
const TOP = 26;
const COMMITS = 42;
const BUCKETS = 90;
const SHOWN_MAX = 80;
const SAME_WITHIN = 10_000;

let span = SPANS[0][1];
let told = "";

const MARKS = { membership: "◆", "snapshot-sent": "▲", "snapshot-installed": "▼", differs: "✕", "set-right": "✓", isolated: "✂", healed: "∞", started: "●" };

function spans() {
  show(byId("timeline-spans"), SPANS.map(([name, ms], index) => h("button", {
    role: "radio", type: "button", "data-key": `span-${ms}`, "aria-checked": String(ms === span), tabindex: ms === span ? 0 : -1,
    onclick: () => { span = ms; spans(); draw(); },
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      span = SPANS[(index + step + SPANS.length) % SPANS.length][1];
      spans();
      draw();
      byId("timeline-spans").querySelector("[aria-checked=true]").focus();
    },
  }, name)));
}

function stays(points, row, x, from, to) {
  return points.map((point, index) => {
    const begin = Math.max(point.at, from);
    const end = Math.min(points[index + 1]?.at ?? to, to);
    if (end <= begin) return null;
    return s("rect", { class: `stay ${point.role}`, x: x(begin), y: TOP + row * LANE + 4, width: Math.max(x(end) - x(begin), 1.5), height: LANE - 8, rx: 3 },
      s("title", {}, `${point.role === "gone" ? "did not answer" : point.role}${point.term === null ? "" : ` in term ${point.term}`}, ${duration(end - begin)}`));
  });
}

function termLines(x, from, to, bottom, width) {
  const begun = new Map();
  for (const event of state.events) {
    if (event.kind === "leader" && event.at_ms >= from && event.at_ms <= to && !begun.has(event.term)) begun.set(event.term, event.at_ms);
  }
  // The newest term has its name in any case; older ones where there is room.
  let later = Infinity;
  return [...begun].sort((one, other) => other[1] - one[1]).map(([term, at]) => {
    const place = x(at);
    const hasRoom = later - place > 52;
    if (hasRoom) later = place;
    const isAtEnd = place > width - 50;
    return [s("line", { class: "term-line", x1: place, x2: place, y1: 16, y2: bottom, "data-term-line": term }),
      hasRoom ? s("text", { class: "term-name", x: place + (isAtEnd ? -3 : 3), y: 13, "text-anchor": isAtEnd ? "end" : "start" }, `term ${term}`) : null];
  });
}

function marks(order, x, from) {
  return state.events.filter((event) => event.at_ms >= from && MARKS[event.kind] && order.includes(event.member)).map((event) =>
    s("text", { class: "mark", x: x(event.at_ms), y: TOP + order.indexOf(event.member) * LANE + LANE / 2 + 5, "text-anchor": "middle" },
      MARKS[event.kind], s("title", {}, explain(event, nameOf)[0])));
}

function commits(x, from, to, top) {
  const width = (to - from) / BUCKETS;
  const sums = new Array(BUCKETS).fill(0);
  state.samples.forEach((sample, index) => {
    const before = state.samples[index - 1];
    if (!before || sample.at < from) return;
    sums[Math.min(BUCKETS - 1, Math.floor((sample.at - from) / width))] += sample.committed - before.committed;
  });
  const most = Math.max(...sums, 1);
  return sums.map((sum, bucket) => sum === 0 ? null : s("rect", { class: "commits", x: x(from + bucket * width), width: Math.max(x(from + width) - x(from) - 1, 1),
    y: top + COMMITS - Math.max(2, sum / most * COMMITS), height: Math.max(2, sum / most * COMMITS) }, s("title", {}, `${sum} entries committed`)));
}

export function draw() {
  if (!state.look) return;
  const host = byId("timeline-lanes");
  const width = Math.max(host.clientWidth, 260);
  const left = width < 500 ? 78 : 110;
  const to = state.look.now_ms;
  const from = to - span;
  const x = (at) => left + (at - from) / span * (width - left);
  const members = [...state.look.members].sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  const order = members.map((member) => member.id);
  const bottom = TOP + order.length * LANE;
  const height = bottom + COMMITS + 26;
  const cut = left < 100 ? 10 : 14;
  show(host, s("svg", { class: "timeline", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Timeline of roles and terms; the list below says the same in words" },
    order.map((id, row) => [s("text", { class: "lane-name", x: 0, y: TOP + row * LANE + LANE / 2 + 4 }, nameOf(id).slice(-cut)), stays(state.roles.get(id) ?? [], row, x, from, to)]),
    s("text", { x: 0, y: bottom + COMMITS / 2 + 12 }, "committed"), commits(x, from, to, bottom + 6),
    s("line", { class: "axis", x1: left, x2: width, y1: bottom + COMMITS + 7, y2: bottom + COMMITS + 7 }),
    termLines(x, from, to, bottom + COMMITS + 7, width), marks(order, x, from),
    [0, .5, 1].map((share) => s("text", { x: left + share * (width - left), y: height - 4, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" }, time(from + share * span)))),
  h("p", { class: "legend" }, [["leader", "leader"], ["follower", "follower"], ["candidate", "asks for votes"], ["gone", "no answer"]].map(([role, words]) =>
    h("span", {}, s("svg", { width: 14, height: 12, "aria-hidden": "true" }, s("rect", { class: `stay ${role}`, width: 14, height: 12, rx: 3 })), words))));
  words();
}

// Each member tells of a membership entry; once is enough.
function isNews(event, index) {
  if (event.kind !== "membership") return true;
  const same = (other) => other.kind === "membership" && other.words === event.words && event.at_ms - other.at_ms < SAME_WITHIN;
  return !state.events.slice(0, index).some(same);
}

function words() {
  const newest = state.events.at(-1)?.key ?? "";
  const stamp = `${newest}/${state.events.length}/${[...state.names.values()].join()}`;
  if (stamp === told) return;
  told = stamp;
  show(byId("events"), state.events.filter(isNews).slice(-SHOWN_MAX).reverse().map((event) => {
    const [what, why] = explain(event, nameOf);
    return h("li", { "data-kind": event.kind, "data-term": event.term }, h("time", { datetime: new Date(event.at_ms).toISOString() }, time(event.at_ms)),
      h("div", {}, what, why ? h("span", { class: "why" }, why) : null));
  }));
}

export function begin() {
  spans();
  new ResizeObserver(draw).observe(byId("timeline-lanes"));
}
