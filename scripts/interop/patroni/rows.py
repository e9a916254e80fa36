"""The load on the replicated PostgreSQL: writes rows through whoever is primary and notes what was acknowledged; says which of those
are missing, and how long nothing was acknowledged. It never starts or stops anything, and never writes a number twice.

    rows.py write NOTES       until SIGTERM: inserts 1, 2, 3, …; NOTES gets "number milliseconds" for each acknowledged one
    rows.py missing NOTES     prints "acknowledged missing" for what the primary has now
    rows.py pause NOTES FROM TO   the longest time (ms) without an acknowledgement between two times (ms since 1970)

The database is named by libpq's environment: PGHOST and PGPORT are lists of all instances.
"""

import signal
import sys
import threading
import time

import psycopg

# Rows per second at most: a load to lose something from, not a benchmark.
PAUSE_SECONDS = 0.005
# A connection to a primary that no longer answers is given up after this long (a machine that died sends nothing).
GIVE_UP_MS = 3000


def now_ms():
    return time.time_ns() // 1_000_000


def connect():
    """libpq itself looks for the one among the instances that takes writes."""
    return psycopg.connect(
        autocommit=True, target_session_attrs="read-write", connect_timeout=2, tcp_user_timeout=GIVE_UP_MS
    )


def write(notes_path):
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    number = 0
    connection = None
    with open(notes_path, "w", buffering=1) as notes:
        while not ended.is_set():
            number += 1
            try:
                connection = connection or connect()
                connection.execute("INSERT INTO rows VALUES (%s, %s)", (number, f"row {number}"))
                notes.write(f"{number} {now_ms()}\n")
            except psycopg.Error:
                # Unknown: it counts neither as there nor as missing, and its number is not used again.
                if connection is not None:
                    connection.close()
                connection = None
            ended.wait(PAUSE_SECONDS)


def acknowledged(notes_path):
    with open(notes_path) as notes:
        lines = notes.read().split("\n")[:-1]
    return [tuple(int(each) for each in line.split()) for line in lines]


def missing(notes_path):
    wanted = {number for number, _ in acknowledged(notes_path)}
    with connect() as connection:
        there = {number for (number,) in connection.execute("SELECT number FROM rows")}
    print(len(wanted), len(wanted - there))


def pause(notes_path, begin, end):
    times = [begin, *(ms for _, ms in acknowledged(notes_path) if begin <= ms <= end), end]
    print(max(later - earlier for earlier, later in zip(times, times[1:])))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", notes]:
            write(notes)
        case ["missing", notes]:
            missing(notes)
        case ["pause", notes, begin, end]:
            pause(notes, int(begin), int(end))
        case _:
            sys.exit(__doc__)
