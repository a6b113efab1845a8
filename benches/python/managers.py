"""The same Python clients on CPython's own server and on multiproc's: calls a second, latency, many clients, large values, and what they cost the server.

    cargo build --release --features cli,python
    python3 benches/python/managers.py [seconds for each row]

Each row runs on both servers in turn, several times, and shows the best of each (the machine's other work only ever slows); the last column is ours to CPython's, better than 1 where ours is.
Latencies are those of single calls as the clients see them. The servers' memory is looked at when everything has been let go of, and the 10 s are over for which ours keeps what may be on its way.
Exit status 1 if ours loses a row.
"""

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
    ready, go = context.Semaphore(0), context.Semaphore(0)

    def client():
        manager = server.connect()
        ready.release()
        go.acquire()
        begin = time.monotonic()
        done = scenario(manager, begin + seconds)
        child.send((done, time.monotonic() - begin))

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
    ("list.append, 1 client", append, 1),
    ("put + get, 8 clients", queue, 8),
    ("create + drop, 1 client", create, 1),
    ("a structured value, 1 client", structured, 1),
    ("16 MiB set and get, 1 client", large, 1),
]


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    lost = False
    with tempfile.TemporaryDirectory(prefix="multiproc-bench-") as directory:
        servers = [cpython(f"{directory}/cpython"), ours(f"{directory}/ours")]
        print(f"{'':30} {'CPython calls/s':>16} {'ours':>10} {'ratio':>7} {'CPython CPU s/M':>16} {'ours':>8} {'ratio':>7}")
        for name, scenario, clients in ROWS:
            best = [(0.0, float("inf"))] * 2
            for _ in range(TURNS):
                for place, server in enumerate(servers):
                    rate, cost = run(server, scenario, clients, seconds)
                    best[place] = max(best[place][0], rate), min(best[place][1], cost)
            (theirs, their_cost), (our, our_cost) = best
            faster, cheaper = our / theirs, their_cost / max(our_cost, 1e-9)
            lost |= faster < 1 or cheaper < 1
            print(f"{name:30} {theirs:16,.0f} {our:10,.0f} {faster:7.2f} {their_cost:16.1f} {our_cost:8.1f} {cheaper:7.2f}", flush=True)
        print(f"\n{'':30} {'CPython p50 us':>16} {'ours':>10} {'ratio':>7} {'CPython p99 us':>16} {'ours':>8} {'ratio':>7}")
        for clients in [1, 8]:
            best = [(float("inf"), float("inf"))] * 2
            for _ in range(TURNS):
                for place, server in enumerate(servers):
                    best[place] = tuple(map(min, best[place], run(server, latency, clients, seconds)))
            (theirs, their_tail), (our, our_tail) = best
            lost |= our > theirs or our_tail > their_tail
            name = f"dict.get, {clients} client{'s' * (clients > 1)}"
            print(f"{name:30} {theirs:16.1f} {our:10.1f} {theirs / our:7.2f} {their_tail:16.1f} {our_tail:8.1f} {their_tail / our_tail:7.2f}", flush=True)
        time.sleep(GRACE + 2)
        sizes = [server.rss() for server in servers]
        lost |= sizes[1] > sizes[0]
        print(f"\nserver's memory after all: CPython {sizes[0]:.0f} MiB, ours {sizes[1]:.0f} MiB; at most: CPython {servers[0].peak():.0f} MiB, ours {servers[1].peak():.0f} MiB")
        for server in servers:
            server.stop()
    sys.exit(lost)


main()
