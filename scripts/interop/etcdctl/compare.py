"""Runs tables of etcdctl commands against etcd and against a second server, and compares what they print.

A case is a few shell lines under a title; every file in cases/ is one group of them with a cluster of its own on each side.
Both sides run a case at the same time; their transcripts are normalised by the rules in allowed.toml and must then be the same,
line by line, the revision of the store after it included. It never decides by itself what may differ: allowed.toml does, with a
reason each, and an entry that no longer has any effect is reported as a failure.
"""

import argparse
import concurrent.futures
import difflib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib

HERE = pathlib.Path(__file__).parent
CASE_SECONDS_MAX = 60
# A broken service shows in its first lines; the whole transcripts stay in the work directory (KEEP=1).
DIFFERENCE_LINES_MAX = 60
READY_SECONDS_MAX = 30


class Case:
    def __init__(self, title):
        self.title = title
        self.lines = []


class Group:
    """One file of cases. Before the first may stand `cluster: N`, `setting: NAME=VALUE` and `seconds: N` (a case's longest time)."""

    def __init__(self, path):
        self.name = path.stem
        self.members = 1
        self.settings = {}
        self.seconds_max = CASE_SECONDS_MAX
        self.cases = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("== "):
                self.cases.append(Case(text[3:]))
            elif self.cases:
                self.cases[-1].lines.append(text)
            else:
                self.read_header(text, f"{path.name}:{number}")

    def read_header(self, text, where):
        key, _, value = text.partition(":")
        if key == "cluster":
            self.members = int(value)
        elif key == "seconds":
            self.seconds_max = int(value)
        elif key == "setting":
            name, _, setting = value.strip().partition("=")
            self.settings[name] = setting
        else:
            sys.exit(f"{where}: before the first case only cluster, setting and seconds can stand, not {text!r}")


class Side:
    """One server program and its cluster, as it is at the moment."""

    def __init__(self, name, command, directory):
        self.name = name
        self.command = command
        self.work = directory
        self.processes = []
        self.generation = 0

    def start(self, group):
        """A new cluster of empty members m0, m1, …; m0 leads it."""
        self.stop()
        self.generation += 1
        self.group = group
        self.directory = self.work / f"{group.name}-{self.generation}"
        self.directory.mkdir(parents=True)
        # Two more pairs than members: for a member that a case adds, and for a second cluster.
        urls = [f"http://127.0.0.1:{port}" for port in free_ports(2 * group.members + 4)]
        self.clients = urls[: group.members + 2]
        self.peers = urls[group.members + 2 :]
        members = range(group.members)
        self.cluster_text = ",".join(f"m{i}={self.peers[i]}" for i in members)
        for i in members:
            self.start_member(i)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not all(self.etcdctl("get", "ready", endpoint=url)[0] == 0 for url in self.clients[: group.members]):
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in self.directory.glob("*.log"))
                sys.exit(f"{self.name} does not answer after {READY_SECONDS_MAX} s; its logs end with\n{logs}")
            time.sleep(0.1)
        self.lead_with_first()

    def start_member(self, i):
        log = open(self.directory / f"m{i}.log", "w")
        arguments = self.command + [
            "--name", f"m{i}", "--data-dir", str(self.directory / f"m{i}"),
            "--listen-client-urls", self.clients[i], "--advertise-client-urls", self.clients[i],
            "--listen-peer-urls", self.peers[i], "--initial-advertise-peer-urls", self.peers[i],
            "--initial-cluster", self.cluster_text, "--initial-cluster-state", "new",
            "--initial-cluster-token", self.directory.name,
        ]
        environment = clean_environment() | self.group.settings
        self.processes.append(subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def lead_with_first(self):
        """Cases say leader and follower by name, so the leader has to be the same on both sides."""
        if self.group.members == 1:
            return
        first = self.shell("member_id m0").strip()
        deadline = time.monotonic() + READY_SECONDS_MAX / 2
        while ", true, false," not in self.etcdctl("endpoint", "status")[1]:
            if time.monotonic() > deadline:
                print(f"{self.name}: the lead cannot be moved to m0: cases that rely on it will differ", flush=True)
                return
            for url in self.clients[1 : self.group.members]:
                self.etcdctl("move-leader", first, endpoint=url)
            time.sleep(0.1)

    def environment(self, directory):
        """What a case sees besides the prelude's functions."""
        variables = {f"M{i}": self.clients[i] for i in range(self.group.members)}
        return clean_environment() | variables | {
            "SIDE": self.name,
            "ENDPOINTS": ",".join(self.clients[: self.group.members]),
            "CLUSTER": self.cluster_text,
            "MEMBERS": str(self.group.members),
            "SPARE_CLIENT": self.clients[-2], "SPARE_PEER": self.peers[-2],
            "SECOND_CLIENT": self.clients[-1], "SECOND_PEER": self.peers[-1],
            "SERVER": " ".join(self.command),
            "CASE": str(directory),
        }

    def etcdctl(self, *arguments, endpoint=None):
        command = ["etcdctl", "--command-timeout=3s", "--endpoints", endpoint or self.clients[0], *arguments]
        done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.returncode, done.stdout

    def shell(self, text):
        script = f". {HERE}/prelude.sh\n{text}"
        done = subprocess.run(["bash", "-c", script], env=self.environment(self.directory), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout

    def run(self, case):
        """The case's transcript: each line, what it printed, and how it ended if not well."""
        directory = self.directory / (f"case-{self.group.cases.index(case)}" if case in self.group.cases else "planted")
        directory.mkdir(exist_ok=True)
        script = [f". {HERE}/prelude.sh"]
        for line in case.lines:
            quoted = "'" + line.replace("'", "'\\''") + "'"
            script.append(f"echo \"$ \"{quoted}\neval {quoted}\nended $?")
        script.append("echo '$ revision'\nrevision\nclean_case")
        transcript = directory / "transcript"
        with open(transcript, "wb") as output:
            process = subprocess.Popen(["bash", "-c", "\n".join(script)], env=self.environment(directory), cwd=directory,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            try:
                process.wait(self.group.seconds_max)
            except subprocess.TimeoutExpired:
                output.write(f"\n[not done after {self.group.seconds_max} s]\n".encode())
            end_session(process)
        return transcript.read_text(errors="backslashreplace")

    def reset(self, case):
        """An empty keyspace, and nothing else left of what the case may have made."""
        text = "\n".join(case.lines)
        commands = ["etcdctl del '' --from-key"]
        if re.search(r"\b(auth|user|role)\b", text):
            commands.insert(0, "forget_users")
        if re.search(r"\b(lease|lock|elect)\b", text):
            commands.insert(0, "forget_leases")
        if "alarm" in text:
            commands.insert(0, "etcdctl alarm disarm")
        self.shell("\n".join(commands))
        if "move-leader" in text:
            self.lead_with_first()

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # A server may keep much room ready on disk, and every group, and every difference, has a new cluster.
        for i in range(len(self.processes)):
            shutil.rmtree(self.directory / f"m{i}", ignore_errors=True)
        self.processes = []

    def known_names(self):
        """Addresses and directories of this side, and what stands for them in a transcript."""
        pairs = [(str(self.directory), "DIRECTORY")]
        for kind, urls in (("CLIENT", self.clients), ("PEER", self.peers)):
            for i, url in enumerate(urls):
                number = {self.group.members: "SPARE", self.group.members + 1: "SECOND"}.get(i, f"M{i}")
                pairs += [(url, f"{kind}-{number}"), (url.removeprefix("http://"), f"{kind}-{number}")]
        return pairs


class Rules:
    """What allowed.toml says."""

    def __init__(self, path):
        data = tomllib.loads(path.read_text())
        self.normalise = data.get("normalise", [])
        self.differences = data.get("difference", [])
        for rule in self.normalise + self.differences:
            if not rule.get("reason"):
                sys.exit(f"{path.name}: an entry without a reason: {rule}")
        self.used = set()

    def apply(self, title, transcript, names):
        """The transcript of the case of that title with everything replaced that must differ."""
        for found, replacement in names:
            transcript = transcript.replace(found, replacement)
        numbers = {}
        blocks = re.split(r"(?m)^(?=\$ )", transcript)
        return "".join(self.apply_to_block(title, block, numbers) for block in blocks)

    def apply_to_block(self, title, block, numbers):
        command, newline, output = block.partition("\n")
        for rule in self.normalise:
            if not re.search(rule.get("case", ""), title) or not re.search(rule.get("command", ""), command):
                continue
            if rule.get("numbered"):
                output = re.sub(rule["pattern"], lambda match: number_of(match, rule, numbers), output)
            else:
                output = re.sub(rule["pattern"], rule["replacement"], output, flags=re.MULTILINE)
        return command + newline + output

    def allows(self, title, difference):
        """The reason why all changed lines of this difference may be, or None."""
        for index, rule in enumerate(self.differences):
            if re.fullmatch(rule["case"], title) is None:
                continue
            if all(re.search(rule["lines"], line[1:]) for line in difference if changed(line)):
                self.used.add(index)
                return rule["reason"]
        return None

    def unused(self, titles):
        """Allowed differences of cases that ran and did not differ."""
        return [rule["case"] for index, rule in enumerate(self.differences)
                if index not in self.used and any(re.fullmatch(rule["case"], title) for title in titles)]


def number_of(match, rule, numbers):
    """Ids stay distinguishable: the first one in a transcript is ID-1 in all its spellings (decimal, signed, hexadecimal)."""
    text = match.group(0)
    is_decimal = text.lstrip("-").isdigit() and len(text) > 16
    value = int(text, 10 if is_decimal or text.startswith("-") else 16) % (1 << 64)
    return f"{rule['numbered']}-{numbers.setdefault(value, len(numbers) + 1)}"


def changed(line):
    return line[:1] in "+-" and not line.startswith(("+++", "---"))


def end_session(process):
    """Ends a case's shell and all that it began and left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def clean_environment():
    """etcd and etcdctl read their settings from variables: none may come from outside."""
    return {name: value for name, value in os.environ.items() if not re.match(r"ETCD(CTL)?_", name)}


def free_ports(count):
    """Free ports of the loopback interface, below the range that outgoing connections take theirs from."""
    held = []
    while len(held) < count:
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", random.randrange(12000, 32000)))
            held.append(candidate)
        except OSError:
            candidate.close()
    # In order, so that sorting lines by address sorts them by member.
    ports = sorted(each.getsockname()[1] for each in held)
    for each in held:
        each.close()
    return ports


def both(sides, action):
    """Does something on both sides at the same time; their answers."""
    answers = [None] * len(sides)

    def act(index):
        answers[index] = action(sides[index])

    threads = [threading.Thread(target=act, args=(index,)) for index in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(answer is None for answer in answers):
        sys.exit("interop: one side failed; see above")
    return answers


def compare(sides, case, rules):
    """The difference between both normalised transcripts of a case, as diff's lines; none if they are the same."""
    texts = both(sides, lambda side: rules.apply(case.title, side.run(case), side.known_names()).splitlines())
    return list(difflib.unified_diff(*texts, fromfile=sides[0].name, tofile=sides[1].name, lineterm="", n=1))


class Tally:
    def __init__(self):
        self.titles = []
        self.same = 0
        self.allowed = []
        self.wrong = []


def run_group(group, sides, rules, tally):
    both(sides, lambda side: side.start(group) or True)
    for case in group.cases:
        difference = compare(sides, case, rules)
        tally.titles.append(case.title)
        reason = rules.allows(case.title, difference) if difference else None
        if not difference:
            tally.same += 1
        elif reason:
            tally.allowed.append(case.title)
            print(f"allowed  {group.name}: {case.title} ({reason})", flush=True)
        else:
            tally.wrong.append(case.title)
            shown = difference[:DIFFERENCE_LINES_MAX]
            if len(difference) > len(shown):
                shown.append(f"… and {len(difference) - len(shown)} lines more")
            print(f"DIFFERS  {group.name}: {case.title}\n    " + "\n    ".join(shown), flush=True)
        if case is group.cases[-1]:
            break
        # What one case did wrong must not show again in the next.
        both(sides, (lambda side: side.start(group) or True) if difference else (lambda side: side.reset(case) or True))
    both(sides, lambda side: side.stop() or True)


def check_itself(group, sides, rules):
    """A wrong answer must be found: the same case with something else on each side."""
    case = Case("planted")
    case.lines = ["etcdctl put a $SIDE", "etcdctl get a"]
    try:
        both(sides, lambda side: side.start(group) or True)
        difference = compare(sides, case, rules)
    finally:
        for side in sides:
            side.stop()
    wanted = ["-left", "+right"]
    if [line for line in difference if changed(line)] != wanted:
        sys.exit(f"interop: the comparison is broken: a planted difference gave {difference}")
    print("self-check: a planted wrong answer was found")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--etcd", required=True, help="the program to compare with")
    parser.add_argument("--server", required=True, help="the command line of the server under test")
    parser.add_argument("--name", required=True, help="what it is called")
    parser.add_argument("groups", nargs="*", help="names of files in cases/ (default: all)")
    arguments = parser.parse_args()
    rules = Rules(HERE / "allowed.toml")
    groups = [Group(path) for path in sorted((HERE / "cases").glob("*.case"))]
    chosen = [group for group in groups if not arguments.groups or group.name in arguments.groups]
    etcd, server = [arguments.etcd], arguments.server.split()
    check_itself(groups[0], [Side("left", etcd, arguments.work / "left"), Side("right", etcd, arguments.work / "right")], rules)
    tally = Tally()

    def run(name, some):
        work = arguments.work / name
        run_groups(some, [Side("etcd", etcd, work / "reference"), Side(arguments.name, server, work / "tested")], rules, tally)

    # Those that only wait for a measurement do so beside the others.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(run, "slow", [group for group in chosen if group.seconds_max > CASE_SECONDS_MAX])
        run("quick", [group for group in chosen if group.seconds_max <= CASE_SECONDS_MAX])
        slow.result()
    sys.exit(report(arguments.name, rules, tally))


def run_groups(groups, sides, rules, tally):
    try:
        for group in groups:
            begun = time.monotonic()
            run_group(group, sides, rules, tally)
            print(f"group    {group.name}: {len(group.cases)} cases, {time.monotonic() - begun:.0f} s", flush=True)
    finally:
        for side in sides:
            side.stop()


def report(name, rules, tally):
    stale = rules.unused(tally.titles) if name != "etcd" else []
    # What hangs on tenths of a second is allowed to differ and need not.
    sometimes = {rule["case"] for rule in rules.differences if rule.get("sometimes")}
    stale = [title for title in stale if title not in sometimes]
    for title in stale:
        print(f"STALE    allowed.toml allows a difference in {title!r}, which there is not: remove it")
    print(f"etcdctl against {name}: same {tally.same} of {len(tally.titles)}, allowed to differ {len(tally.allowed)}, "
          f"wrong {len(tally.wrong)}")
    return 1 if tally.wrong or stale else 0


if __name__ == "__main__":
    # Ended from outside, the clusters must end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
