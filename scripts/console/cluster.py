"""Three members as processes on loopback, and etcd's JSON API to talk to them."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ports import free_ports  # noqa: E402


def text(value):
    return base64.b64encode(value.encode()).decode()


def wait(what, found, seconds=30):
    """Asks until it is so; never sleeps for a fixed time."""
    until = time.monotonic() + seconds
    last = None
    while time.monotonic() < until:
        try:
            last = found()
        except Exception as error:  # what is not there yet is asked for again
            last = error
        else:
            if last:
                return last
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain for {what}; last: {last!r}")


class Cluster:
    def __init__(self, program, directory, members=3):
        self.program = program
        self.directory = Path(directory)
        self.names = [f"almadia-{number}" for number in range(members)]
        ports = free_ports(2 * members)
        self.client = {name: f"http://127.0.0.1:{ports[2 * n]}" for n, name in enumerate(self.names)}
        self.peer = {name: f"http://127.0.0.1:{ports[2 * n + 1]}" for n, name in enumerate(self.names)}
        self.processes = {}
        self.token = None

    def start(self, name):
        everyone = ",".join(f"{one}={self.peer[one]}" for one in self.names)
        flags = {
            "name": name,
            "data-dir": self.directory / name,
            "listen-client-urls": self.client[name],
            "advertise-client-urls": self.client[name],
            "listen-peer-urls": self.peer[name],
            "initial-advertise-peer-urls": self.peer[name],
            "initial-cluster": everyone,
            "initial-cluster-state": "new",
        }
        log = open(self.directory / f"{name}.log", "ab")
        line = [self.program, "server", "--enable-fault-injection", *(f"--{flag}={value}" for flag, value in flags.items())]
        self.processes[name] = subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def halt(self, name):
        self.processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def fault(self, what, name):
        """Cuts a member off its peers, or lets it back."""
        line = [self.program, "fault", what, name, "--endpoints", self.client[name]]
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=20)

    def kill(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def post(self, name, path, /, **body):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = self.token
        request = urllib.request.Request(f"{self.client[name]}/v3/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def put(self, name, key, value, lease=0):
        return self.post(name, "kv/put", key=text(key), value=text(value), lease=str(lease))

    def leader(self, among=None):
        """The name of the leader that the asked ones agree on."""
        asked = among or list(self.processes)
        said = [self.post(name, "maintenance/status") for name in asked]
        leaders = {(one.get("leader"), one.get("raftTerm")) for one in said}
        if len(leaders) != 1 or None in next(iter(leaders)):
            return None
        leader, _ = leaders.pop()
        for name, one in zip(asked, said):
            if one["header"]["member_id"] == leader:
                return name
        return None

    def cpu_seconds(self, name):
        fields = Path(f"/proc/{self.processes[name].pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Writer:
    """Puts keys until it is stopped, whatever the cluster says."""

    def __init__(self, cluster, name):
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(cluster, name), daemon=True)
        self.thread.start()

    def run(self, cluster, name):
        number = 0
        while not self.is_over.is_set():
            number += 1
            try:
                cluster.put(name, f"boats/{number % 40:02}", f"upstream, trip {number}")
                cluster.post(name, "kv/range", key=text("boats/"), range_end=text("boats0"), count_only=True)
            except (OSError, urllib.error.HTTPError):
                pass
            self.is_over.wait(0.02)

    def stop(self):
        self.is_over.set()
        self.thread.join()
