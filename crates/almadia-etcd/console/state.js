// What is known of the cluster: the newest look, samples of the last minutes, and what happened. Bounded; computes nothing
// until somebody reads it.

const SAMPLES_MAX = 1800; // 15 minutes of two looks a second
const EVENTS_MAX = 600;
const POINTS_MAX = 600;

export const state = {
  own: null,          // the id of the member that answers
  cluster: null,
  release: null,
  look: null,         // the newest look
  samples: [],        // {at, committed, calls…}
  events: [],         // oldest first
  roles: new Map(),   // member id → [{at, role, term}], oldest first
  lastReports: new Map(), // member id → the newest report it gave
  names: new Map(),
};

const listeners = new Set();
const seen = new Set();

export const onChange = (listener) => listeners.add(listener);
const tell = () => { for (const listener of listeners) listener(state); };

export const nameOf = (id) => state.names.get(id) ?? id;

const ROLES = new Set(["leader", "follower", "candidate", "learner"]);

function point(member, at, role, term) {
  const points = state.roles.get(member) ?? [];
  if (!state.roles.has(member)) state.roles.set(member, points);
  let place = points.length;
  while (place > 0 && points[place - 1].at > at) place -= 1;
  const before = points[place - 1];
  if (before && before.role === role && before.term === term) return;
  points.splice(place, 0, { at, role, term });
  // What was seen before it was told of is the same stay.
  const after = points[place + 1];
  if (after && after.role === role && after.term === term) points.splice(place + 1, 1);
  if (points.length > POINTS_MAX) points.shift();
}

function addEvents(events) {
  for (const event of events) {
    const key = `${event.member}/${event.life}/${event.number}`;
    if (seen.has(key)) continue;
    seen.add(key);
    event.key = key;
    state.events.push(event);
    if (event.kind === "started") point(event.member, event.at_ms, "follower", event.term);
    if (ROLES.has(event.kind)) point(event.member, event.at_ms, event.kind, event.term);
  }
  state.events.sort((one, other) => one.at_ms - other.at_ms);
  for (const event of state.events.splice(0, Math.max(0, state.events.length - EVENTS_MAX))) seen.delete(event.key);
}

export function welcome(data) {
  if (state.own !== data.member || state.cluster !== data.cluster) {
    Object.assign(state, { samples: [], events: [], look: null });
    state.roles.clear();
    state.lastReports.clear();
    seen.clear();
  }
  Object.assign(state, { own: data.member, cluster: data.cluster, release: data.release, etcd: data.etcd });
  addEvents(data.events);
  tell();
}

export function look(data) {
  const previous = state.samples.at(-1);
  let committed = previous?.committed ?? 0;
  let waits = {};
  for (const member of data.members) {
    state.names.set(member.id, member.name || member.id);
    const { report } = member;
    if (report) {
      committed = Math.max(committed, report.committed);
      state.lastReports.set(member.id, report);
    }
    point(member.id, data.now_ms, report ? report.role : "gone", report ? report.term : null);
    if (member.round_trip_us !== null) waits[member.id] = member.round_trip_us / 1000;
  }
  for (const id of [...state.roles.keys()]) {
    if (!data.members.some((member) => member.id === id)) state.roles.delete(id);
  }
  const own = data.members.find((member) => member.id === state.own)?.report;
  state.samples.push({
    at: data.now_ms, committed, read: data.read_us === null ? null : data.read_us / 1000, waits,
    reads: data.served.reads, writes: data.served.writes, latency: data.served.latency ?? null,
    entries: own?.entries_written ?? null, syncs: own?.syncs ?? null,
  });
  if (state.samples.length > SAMPLES_MAX) state.samples.shift();
  state.look = data;
  addEvents(data.events);
  tell();
}

// The leader that most members agree on: of those who answer, the one that says so in the highest term.
export function leader() {
  const leaders = (state.look?.members ?? []).filter((member) => member.report?.role === "leader");
  return leaders.sort((one, other) => other.report.term - one.report.term)[0] ?? null;
}
