// Numbers, times and events in words.

export const count = (number) => Number(number).toLocaleString("en");
export const time = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many ?? one + "s"}`;

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = Number(number);
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

export const list = (names) => names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

// What an event means: [what happened, why or what follows from it].
const EVENTS = {
  started: (who) => [`${who} started`, "Its process began; it reads its log and looks for the others."],
  learner: (who) => [`${who} is a learner`, "It receives the log and does not vote yet."],
  follower: (who, event) => [`${who} follows in term ${event.term}`, "It takes entries from the leader of this term, and stands for nothing as long as it hears from it."],
  candidate: (who, event) => [`${who} asked for votes in term ${event.term}`, "It had heard no leader for its election timeout, so it began a new term and voted for itself."],
  leader: (who, event) => [`${who} was elected leader of term ${event.term}`, "A majority gave it their votes. In this term nobody else can win: each member votes once in a term."],
  term: (who, event) => [`${who} heard of term ${event.term}`, "Whoever hears of a higher term goes over to it: old leaders step down that way."],
  follows: (who, event, subject) => [`${who} hears from ${subject} as leader of term ${event.term}`, null],
  leaderless: (who) => [`${who} knows of no leader`, "Until there is one, nothing can be committed; clients wait."],
  membership: (who, event) => [`The membership is: ${event.words}`, "Who belongs is an entry in the log like any other, and counts from the moment it is written."],
  "snapshot-sent": (who, event, subject) => [`${who} sent a snapshot to ${subject}`, "The entries it needs are no longer in the log, so it got the whole state instead."],
  "snapshot-installed": (who) => [`${who} installed a snapshot`, "It took the leader's whole state in the place of its own."],
  differs: (who) => [`${who} found that its state differs from the others'`, "It serves nobody until it has the right state."],
  isolated: (who, event) => [`${who} was cut off from ${event.words || "all its peers"} on purpose`, "Somebody asked for it (almadia fault isolate). Without a majority it can commit nothing; it tells of this when it is back, if nobody can ask it meanwhile."],
  healed: (who) => [`${who} was let back to its peers`, "It hears of the newest term, and takes what it missed from the leader."],
  "set-right": (who) => [`${who} has the right state again`, null],
};

export function explain(event, nameOf) {
  const who = nameOf(event.member);
  const known = EVENTS[event.kind];
  return known ? known(who, event, event.subject ? nameOf(event.subject) : "") : [`${who}: ${event.kind}`, null];
}
