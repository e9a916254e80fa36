// The members as a picture: who leads, who hears whom, who is gone. And one of them in detail.

import { byId, facts, h, s, show } from "./dom.js";
import { leader, nameOf, state } from "./state.js";
import { bytes, count, duration } from "./words.js";

const WIDTH = 460;
const HEIGHT = 296;
const RADIUS = 52;
// A leader's word reaches its followers many times in this time.
const HEARD_WITHIN = 1500;

let chosen = null;
let previous = new Map();

const roleOf = (member) => member.report ? member.report.role : "gone";

const ROLE_WORDS = { leader: "leader", follower: "follower", candidate: "asks for votes", learner: "learner", gone: "no answer" };

function places(members) {
  const centre = { x: WIDTH / 2, y: HEIGHT / 2 };
  if (members.length === 1) return [centre];
  return members.map((_, index) => {
    const angle = -Math.PI / 2 + index * 2 * Math.PI / members.length;
    return { x: centre.x + Math.cos(angle) * 160, y: centre.y + (members.length === 3 ? 26 : 4) + Math.sin(angle) * 96 };
  });
}

// How the leader's link to another member is.
function linkOf(head, member) {
  const progress = head.report.followers.find((one) => one.id === member.id);
  const isHeard = progress && progress.silent_ms !== null && progress.silent_ms < HEARD_WITHIN;
  if (!isHeard) return { state: "cut", label: "not heard" };
  const behind = Math.max(0, head.report.last - progress.matched);
  const isFar = behind > 0 && head.report.last - head.report.committed < behind;
  return isFar ? { state: "behind", label: `${count(behind)} behind` } : { state: "ok", label: duration(member.round_trip_us === null ? null : member.round_trip_us / 1000) };
}

function links(members, at) {
  const head = leader();
  const drawn = [];
  members.forEach((member, index) => {
    for (let other = index + 1; other < members.length; other += 1) {
      const isLeaders = head && (head.id === member.id || head.id === members[other].id);
      if (!isLeaders) drawn.push(s("line", { class: "link", x1: at[index].x, y1: at[index].y, x2: at[other].x, y2: at[other].y, opacity: .5 }));
    }
  });
  if (!head) return drawn;
  const from = at[members.indexOf(head)];
  const isBusy = head.report.committed - (previous.get(head.id) ?? head.report.committed) > 20;
  members.forEach((member, index) => {
    if (member === head) return;
    const to = at[index];
    const link = linkOf(head, member);
    const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
    drawn.push(s("line", { class: "link", "data-state": link.state, "data-link": member.id, ...ends }));
    if (link.state !== "cut") drawn.push(s("line", { class: "flow", "data-pace": isBusy ? "busy" : "calm", ...ends }));
    if (link.label !== "–") drawn.push(s("text", { class: "link-label", x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 6 }, link.label));
  });
  return drawn;
}

function node(member, { x, y }) {
  const role = roleOf(member);
  const term = member.report?.term ?? null;
  const words = ROLE_WORDS[role];
  const choose = () => { chosen = member.id; draw(); };
  return s("g", {
    class: "node", transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "data-key": `node-${member.id}`,
    "data-member": member.name, "data-role": role, "data-term": term, "aria-pressed": String(chosen === member.id),
    "aria-label": `${member.name}: ${words}${term === null ? "" : `, term ${term}`}`, onclick: choose,
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); } },
  },
  s("circle", { class: "chosen", r: RADIUS + 7 }),
  s("circle", { class: "body", r: RADIUS }),
  role === "leader" ? s("path", { class: "crown", d: "M-13 -28 l3 -14 6 7 4 -11 4 11 6 -7 3 14 z", transform: `translate(0 ${-RADIUS + 13})` }) : null,
  s("text", { class: "name", y: 0 }, member.name.length > 13 ? `…${member.name.slice(-12)}` : member.name || "unnamed"),
  s("text", { class: "role", y: 17 }, words),
  s("text", { class: "term", y: 31 }, term === null ? "" : `term ${term}`));
}

function details() {
  const member = state.look.members.find((one) => one.id === chosen);
  if (!member) return null;
  const report = member.report ?? state.lastReports.get(member.id);
  const isOld = !member.report;
  const standing = member.votes ? "votes" : member.is_learner ? "learner" : "waits for its vote";
  return h("div", {}, h("h3", {}, `${member.name}${member.id === state.own ? " (answers this page)" : ""}`),
    isOld ? h("p", { class: "error" }, member.silent_ms === null ? "It has not answered since this page looks." : `It last answered ${duration(member.silent_ms)} ago; what follows is from then.`) : null,
    facts([
      ["id", h("span", { class: "mono" }, member.id)], ["standing", standing],
      ["client address", member.client_urls.join(" ") || "–"],
      report && ["keys", count(report.keys)], report && ["leases", count(report.leases)],
      report && ["live data", bytes(report.live_bytes)], report && ["segments on disk", bytes(report.disk_bytes)], report && ["live watchers", count(report.watchers)],
      ["answers in", member.round_trip_us === null ? (member.id === state.own ? "itself" : "–") : duration(member.round_trip_us / 1000)],
      report && report.leader && ["follows", nameOf(report.leader)],
    ]),
    report?.no_space ? h("p", { class: "error" }, "It refuses writes: there is no room.") : null,
    report?.corrupt ? h("p", { class: "error" }, "Its state differs from a majority's: it serves nobody until it is set right.") : null);
}

const LEGEND = h("p", { class: "legend" }, "Lines go from the leader to those who follow it; the time on a line is how long that member took to answer this one.");

export function draw() {
  if (!state.look) return;
  const members = [...state.look.members].sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  if (chosen === null || !members.some((member) => member.id === chosen)) chosen = state.own;
  const at = places(members);
  show(byId("members-picture"), s("svg", { class: "picture", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": "Members and their links" },
    links(members, at), members.map((member, index) => node(member, at[index]))), LEGEND);
  show(byId("member-details"), details());
  previous = new Map(members.map((member) => [member.id, member.report?.committed]));
}

// The state of the cluster in one sentence, and how to feel about it.
export function headline() {
  const { members } = state.look;
  const voters = members.filter((member) => member.votes);
  const answering = voters.filter((member) => member.report);
  const silent = members.filter((member) => !member.report).map((member) => member.name || member.id);
  const majority = Math.floor(voters.length / 2) + 1;
  const head = leader();
  const gone = silent.length === 0 ? "" : `${silent.join(", ")} ${silent.length === 1 ? "does" : "do"} not answer. `;
  if (answering.length < majority) {
    return ["down", `No majority: ${answering.length} of ${voters.length} voters answer`, `${gone}Nothing can be committed until ${majority} of them talk to each other. What was acknowledged is kept.`];
  }
  if (!head) return ["strained", "Nobody leads: an election is under way", `${gone}Writes wait until a majority has chosen a leader.`];
  const { term, committed } = head.report;
  const title = `${head.name} leads in term ${term}`;
  const limited = members.find((member) => member.report?.no_space || member.report?.corrupt);
  if (limited) return ["strained", title, `${limited.name} ${limited.report.corrupt ? "differs from the others and serves nobody" : "has no room and refuses writes"}.`];
  if (silent.length > 0) return ["strained", title, `${gone}The others are a majority, so reads and writes go on. Committed up to entry ${count(committed)}.`];
  return ["well", title, `${members.length === 1 ? "The only member answers" : `All ${members.length} members answer`}. Committed up to entry ${count(committed)}; revision ${count(head.report.revision)}; ${count(head.report.keys)} keys.`];
}
