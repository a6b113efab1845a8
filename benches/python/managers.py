"""The same Python clients on CPython's own server and on multiproc's: calls a second, latency, many clients, large values, and what they cost the server.

    cargo build --release --features cli,python
    python3 benches/python/managers.py [--seconds S] [WORD …]

Each row runs on both servers in turn, several times, and shows the best of each (the machine's other work only ever slows); a ratio is ours to CPython's, better than 1 where ours is.
Latencies are those of single calls as the clients see them. The servers' memory is looked at when everything has been let go of, and the 10 s are over for which ours keeps what may be on its way.
Between the calls of a lone client our server looks for the next one, yielding its processor to whoever wants it, for up to 50 µs before it sleeps (`WaitPolicy`). That counts as processor time: in the rows of one client
the column shows the waiting, in those of more the work.

With words, only the rows in whose names one of them occurs. The last line says which rows ours loses; exit status 1 if there is any.
"""

import argparse
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from multiprocessing.managers import SyncManager

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = b"bench"
TURNS = 3
GRACE = 10
context = multiprocessing.get_context("fork")


class Server:
    def __init__(self, command, path):
        self.path = path
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "BENCH_KEY": KEY.decode()})
        self.process.stdout.readline()

    def connect(self):
        multiprocessing.current_process().authkey = KEY
        manager = SyncManager(address=self.path, authkey=KEY)
        manager.connect()
        return manager

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self, what="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) / 1024

    def peak(self):
        return self.rss("VmHWM")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cpython(path):
    code = (
        "import sys; from multiprocessing.managers import SyncManager; "
        "s = SyncManager(address=sys.argv[1], authkey=b'bench').get_server(); print(flush=True); s.serve_forever()"
    )
    return Server([sys.executable, "-c", code, path], path)


def ours(path):
    program = ROOT / "target/release/multiproc"
    return Server([program, "serve", "--address", f"unix:{path}", "--authkey-env", "BENCH_KEY", "--python"], path)


def get(manager, until):
    d = manager.dict({"k": 1})
    return repeat(lambda: d.get("k"), until)


def append(manager, until):
    l = manager.list()
    done = repeat(lambda: l.append(1), until)
    return done


def queue(manager, until):
    q = manager.Queue()

    def both():
        q.put(1)
        q.get()

    return 2 * repeat(both, until)


def create(manager, until):
    return repeat(lambda: manager.list(), until)


def large(manager, until):
    d, value = manager.dict(), bytes(16 << 20)

    def both():
        d["k"] = value
        assert len(d["k"]) == len(value)

    return 2 * repeat(both, until)


def structured(manager, until):
    d = manager.dict()
    value = {"name": "x" * 20, "items": list(range(50)), "nested": [{"a": n, "b": (n, str(n))} for n in range(20)]}

    def both():
        d["k"] = value
        return d["k"]

    return 2 * repeat(both, until)


def repeat(call, until):
    count = 0
    while time.monotonic() < until:
        for _ in range(8):
            call()
        count += 8
    return count


def latency(manager, until):
    """How long each of many calls takes, in microseconds."""
    d, took = manager.dict({"k": 1}), []
    d.get("k")
    while (begin := time.perf_counter()) and time.monotonic() < until:
        d.get("k")
        took.append(1e6 * (time.perf_counter() - begin))
    return took


def run(server, scenario, clients, seconds):
    """Calls a second, and the server's seconds of CPU for a million calls."""
    parent, child = context.Pipe(False)
    ready, go, speaks = context.Semaphore(0), context.Semaphore(0), context.Lock()

    def client():
        manager = server.connect()
        ready.release()
        go.acquire()
        begin = time.monotonic()
        done = scenario(manager, begin + seconds)
        took = time.monotonic() - begin
        with speaks:  # a large message is several writes
            child.send((done, took))

    processes = [context.Process(target=client) for _ in range(clients)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    before = server.cpu()
    for _ in processes:
        go.release()
    results = [parent.recv() for _ in processes]
    cost = server.cpu() - before
    for process in processes:
        process.join()
    if scenario is latency:
        took = sorted(one for done, _ in results for one in done)
        return took[len(took) // 2], took[len(took) * 99 // 100]
    total = sum(done for done, _ in results)
    return sum(done / took for done, took in results), 1e6 * cost / total


ROWS = [
    ("dict.get, 1 client", get, 1),
    ("dict.get, 2 clients", get, 2),
    ("dict.get, 8 clients", get, 8),
    ("dict.get, 32 clients", get, 32),
    ("list.append, 1 client", append, 1),
    ("put + get, 8 clients", queue, 8),
    ("put + get, 32 clients", queue, 32),
    ("create + drop, 1 client", create, 1),
    ("a structured value, 1 client", structured, 1),
    ("a structured value, 8 clients", structured, 8),
    ("16 MiB set and get, 1 client", large, 1),
]
LATENCIES = [("latency, 1 client", 1), ("latency, 8 clients", 8), ("latency, 32 clients", 32)]
MEMORY = "memory after all, MiB", "memory at most, MiB"


class Table:
    """Rows of pairs, theirs and ours, with their ratios."""

    def __init__(self):
        self.lost = []

    def head(self, *columns):
        print("\n" + " " * 30 + "".join(f" {'CPython ' + column:>18} {'ours':>10} {'ratio':>7}" for column in columns))

    def row(self, name, *pairs):
        """Each pair with a sign: whether more is better."""
        ratios = [(our / max(their, 1e-9) if more else their / max(our, 1e-9)) for their, our, more in pairs]
        print(f"{name:30}" + "".join(f" {their:18,.1f} {our:10,.1f} {ratio:7.2f}" for (their, our, _), ratio in zip(pairs, ratios)), flush=True)
        if min(ratios) < 1:
            self.lost.append(f"{name} ({min(ratios):.2f})")


def turns(servers, scenario, clients, seconds, better):
    """The best of several turns, for each server."""
    best = [None] * len(servers)
    for _ in range(TURNS):
        for place, server in enumerate(servers):
            one = run(server, scenario, clients, seconds)
            best[place] = one if best[place] is None else tuple(choose(*both) for choose, both in zip(better, zip(best[place], one)))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn of a row takes")
    parser.add_argument("words", nargs="*", help="parts of the names of rows")
    arguments = parser.parse_args()

    def wanted(name):
        return not arguments.words or any(word in name for word in arguments.words)

    table, seconds = Table(), arguments.seconds
    with tempfile.TemporaryDirectory(prefix="multiproc-bench-") as directory:
        servers = [cpython(f"{directory}/cpython"), ours(f"{directory}/ours")]
        table.head("calls/s", "CPU s/M")
        for name, scenario, clients in filter(lambda row: wanted(row[0]), ROWS):
            (theirs, their_cost), (our, our_cost) = turns(servers, scenario, clients, seconds, (max, min))
            table.row(name, (theirs, our, True), (their_cost, our_cost, False))
        table.head("p50 us", "p99 us")
        for name, clients in filter(lambda row: wanted(row[0]), LATENCIES):
            (theirs, their_tail), (our, our_tail) = turns(servers, latency, clients, seconds, (min, min))
            table.row(name, (theirs, our, False), (their_tail, our_tail, False))
        if any(map(wanted, MEMORY)):
            time.sleep(GRACE + 2)
            table.head("MiB")
            table.row(MEMORY[0], (servers[0].rss(), servers[1].rss(), False))
            table.row(MEMORY[1], (servers[0].peak(), servers[1].peak(), False))
        for server in servers:
            server.stop()
    print("\nlost: " + (", ".join(table.lost) or "none"))
    sys.exit(bool(table.lost))


main()
