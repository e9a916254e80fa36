"""The drill itself; drill.sh says what it does. Standard library only. Everything it starts ends with it."""

import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from ports import free_ports  # noqa: E402

MONITORING = ROOT / "deploy" / "monitoring"
PATIENCE = 40
JOB = "almadia-drill"


def say(words):
    print(f"[{time.monotonic() - BEGUN:5.1f} s] {words}", flush=True)


BEGUN = time.monotonic()


class Failed(Exception):
    pass


def until(what, look):
    """Asks again and again until there is an answer."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            last = look()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(0.2)
    raise Failed(f"waited {PATIENCE} s in vain for {what}; last seen: {last!r}")


class Member:
    def __init__(self, program, directory, ordinal, ports, cluster):
        self.name, self.directory, self.process = f"almadia-{ordinal}", directory, None
        self.client, self.peer, self.metrics = ports
        urls = {
            "listen-client-urls": f"http://127.0.0.1:{self.client}",
            "advertise-client-urls": f"http://127.0.0.1:{self.client}",
            "listen-peer-urls": f"http://127.0.0.1:{self.peer}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{self.peer}",
            "listen-metrics-urls": f"http://127.0.0.1:{self.metrics}",
        }
        self.command = [program, "server", "--name", self.name, "--data-dir", str(directory / self.name)]
        self.command += ["--initial-cluster", cluster, "--initial-cluster-state", "new"]
        for flag, url in urls.items():
            self.command += [f"--{flag}", url]

    def start(self):
        log = open(self.directory / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Prometheus:
    def __init__(self, directory, members):
        self.directory, self.process, (self.port,) = directory, None, free_ports(1)
        rules = (MONITORING / "almadia.rules.yaml").read_text()
        short, count = re.subn(r"^(\s+for:) .*$", r"\1 2s", rules, flags=re.MULTILINE)
        if count < 10:
            raise Failed("the rules have no 'for:' to shorten: this drill is out of date")
        (directory / "rules.yaml").write_text(short)
        targets = ", ".join(f"'127.0.0.1:{member.metrics}'" for member in members)
        (directory / "prometheus.yaml").write_text(
            "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
            "rule_files: [rules.yaml]\n"
            f"scrape_configs: [{{ job_name: {JOB}, static_configs: [{{ targets: [{targets}] }}] }}]\n"
        )

    def start(self):
        log = open(self.directory / "prometheus.log", "ab")
        command = [shutil.which("prometheus"), f"--config.file={self.directory}/prometheus.yaml"]
        command += [f"--storage.tsdb.path={self.directory}/tsdb", f"--web.listen-address=127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def values(self, expression):
        return [float(sample["value"][1]) for sample in self.ask("query", query=expression)["result"]]

    def state(self, alert):
        """firing, pending, or nothing."""
        found = [one["state"] for one in self.ask("alerts")["alerts"] if one["labels"]["alertname"] == alert]
        return "firing" if "firing" in found else (found[0] if found else "")

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


class Drill:
    def __init__(self, program, directory):
        self.program = program
        ports = free_ports(9)
        names = [f"almadia-{ordinal}=http://127.0.0.1:{ports[3 * ordinal + 1]}" for ordinal in range(3)]
        cluster = ",".join(names)
        self.members = [
            Member(program, directory, ordinal, ports[3 * ordinal : 3 * ordinal + 3], cluster) for ordinal in range(3)
        ]
        self.prometheus = Prometheus(directory, self.members)
        self.watcher = None

    def almadia(self, *words, members=None):
        endpoints = ",".join(f"127.0.0.1:{member.client}" for member in members or self.members)
        command = [self.program, *words, "--endpoints", endpoints]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)

    def leader(self):
        answer = self.almadia("status", "-o", "json")
        known = json.loads(answer.stdout)["members"] if answer.stdout else []
        names = [one["name"] for one in known if one.get("leader")]
        found = [member for member in self.members if member.name in names and member.process is not None]
        return found[0] if found else None

    def run(self):
        for member in self.members:
            member.start()
        self.prometheus.start()
        leader = until("a leader", self.leader)
        say(f"three members, {leader.name} leads, Prometheus scrapes them each second")
        self.load()
        self.dashboard()
        self.lose_leader(leader)
        self.lose_majority()

    def load(self):
        """Something of everything that panels show."""
        self.watcher = subprocess.Popen(
            [self.program, "watch", "drill/", "--prefix", "--endpoints", f"127.0.0.1:{self.members[0].client}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )
        until("three targets", lambda: self.prometheus.values(f'sum(up{{job="{JOB}"}})') == [3.0])
        for number in range(12):
            for words in (["put", f"drill/{number}", "x" * 100], ["get", f"drill/{number}"]):
                done = self.almadia(*words)
                if done.returncode != 0:
                    raise Failed(f"{words}: {done.stderr or done.stdout}")
            time.sleep(0.2)

    def dashboard(self):
        """Every query of the dashboard has data: a sample at least, and one that is a number."""
        board = json.loads((MONITORING / "almadia.dashboard.json").read_text())
        queries = [
            (panel["title"], target["expr"])
            for panel in board["panels"]
            for target in panel.get("targets", [])
        ]
        if len(queries) < 30:
            raise Failed("the dashboard has lost its panels")

        def without_data():
            empty = []
            for title, expression in queries:
                asked = expression.replace("$__rate_interval", "15s").replace("[1h]", "[30s]").replace("$job", ".*almadia.*")
                values = self.prometheus.values(asked)
                if not any(math.isfinite(value) for value in values):
                    empty.append((title, asked, values))
            return empty

        last = []

        def look():
            self.almadia("put", "drill/again", "x")
            self.almadia("get", "drill/again")
            last[:] = without_data()
            return not last

        try:
            until("data in every panel", look)
        except Failed:
            for title, asked, values in last:
                print(f"  without data: {title}: {asked} gave {values}")
            raise
        say(f"all {len(queries)} queries of the dashboard have data")

    def firing(self, alert, cause):
        until(f"{alert} to fire", lambda: self.prometheus.state(alert) == "firing")
        say(f"{alert} fires: {cause}")

    def resolved(self, alert, cause):
        until(f"{alert} to be resolved", lambda: self.prometheus.state(alert) == "")
        say(f"{alert} is resolved: {cause}")

    def lose_leader(self, leader):
        quiet = [alert for alert in ("AlmadiaMemberDown", "AlmadiaNoLeader") if self.prometheus.state(alert)]
        if quiet:
            raise Failed(f"{quiet} before anything happened")
        leader.kill()
        say(f"killed the leader, {leader.name}")
        heir = until("another leader", self.leader)
        say(f"{heir.name} leads")
        self.firing("AlmadiaMemberDown", f"{leader.name} is down")
        if self.prometheus.state("AlmadiaNoLeader") == "firing":
            raise Failed("AlmadiaNoLeader fires, though two of three members go on")
        leader.start()
        self.resolved("AlmadiaMemberDown", f"{leader.name} is back")

    def lose_majority(self):
        for member in self.members[:2]:
            member.kill()
        say("killed two of three")
        self.firing("AlmadiaNoLeader", "there is no majority")
        for member in self.members[:2]:
            member.start()
        self.resolved("AlmadiaNoLeader", "they are back")

    def end(self):
        if self.watcher is not None:
            self.watcher.kill()
            self.watcher.wait()
        for member in self.members:
            member.kill()
        self.prometheus.end()


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="almadia-drill-") as name:
        directory = pathlib.Path(name)
        drill = Drill(program, directory)
        try:
            drill.run()
        except Failed as failure:
            print(f"monitoring drill: FAILED: {failure}")
            for log in sorted(directory.glob("*.log")):
                print(f"--- {log.name}")
                print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-15:]))
            return 1
        finally:
            drill.end()
    say("monitoring drill: PASSED")
    return 0


if __name__ == "__main__":
    sys.exit(main())
