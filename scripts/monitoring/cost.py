#!/usr/bin/env python3
"""What a scrape costs: CPU time of one of three members, with some writes, with and without many scrapes. Takes the program from its
first argument. Fails when one scrape a second would cost a member 1 % of a core or more."""

import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "console"))
from cluster import Cluster, Writer, wait  # noqa: E402

SCRAPES = 1000
SHARE_MAX = 1.0  # per cent of a core, at one scrape a second


def main():
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(sys.argv[1], directory)
        try:
            for name in cluster.names:
                cluster.start(name)
            asked = wait("a leader", cluster.leader)
            writer = Writer(cluster, asked)
            url = f"{cluster.client[asked]}/metrics"
            wait("a whole answer", lambda: b"almadia_request_seconds_bucket" in urllib.request.urlopen(url, timeout=10).read())

            before, began = cluster.cpu_seconds(asked), time.monotonic()
            bytes_count = 0
            for _ in range(SCRAPES):
                with urllib.request.urlopen(url, timeout=10) as answer:
                    bytes_count = len(answer.read())
            with_scrapes, seconds = cluster.cpu_seconds(asked) - before, time.monotonic() - began

            before, began = cluster.cpu_seconds(asked), time.monotonic()
            threading.Event().wait(seconds)
            without = cluster.cpu_seconds(asked) - before
            writer.stop()
        finally:
            cluster.stop()
    each_ms = (with_scrapes - without) / SCRAPES * 1000
    print(f"scrape: {each_ms:.2f} ms of CPU for {bytes_count // 1024} KiB ({SCRAPES} scrapes in {seconds:.1f} s: {with_scrapes:.2f} s of CPU, {without:.2f} s without)")
    print(f"scrape: {each_ms / 10:.3f} % of a core at one a second")
    if each_ms / 10 >= SHARE_MAX:
        sys.exit(f"scrape: {SHARE_MAX} % or more")


if __name__ == "__main__":
    main()
