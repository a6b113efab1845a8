import json, sys, time
from multiprocessing import Barrier, Process, Queue
from multiprocessing.managers import BaseManager, SyncManager


class Counter:
    def __init__(self):
        self.count = 0

    def add(self, n):
        self.count += n
        return self.count


class Manager(SyncManager):
    pass


Manager.register("Counter", Counter)


def client(what, number, objects, seconds, barrier, results):
    counter, shared, queue = objects
    call = {
        "add": lambda: counter.add(1),
        "dict": lambda: (shared.__setitem__(number, 1), shared.get(number)),
        "queue": (lambda: queue.put(number)) if number % 2 else (lambda: queue.get()),
    }[what]
    each = {"add": 1, "dict": 2, "queue": 1}[what]
    if what != "queue":
        for _ in range(100):
            call()
    barrier.wait()
    times, now = [], time.perf_counter()
    end = now + seconds
    while now < end:
        call()
        last, now = now, time.perf_counter()
        times.append(now - last)
    results.put((len(times) * each, times if len(times) < 200_000 else times[::10]))


if __name__ == "__main__":
    what, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with Manager() as manager:
        objects = (manager.Counter(), manager.dict(), manager.Queue(1000))
        barrier, results = Barrier(clients), Queue()
        workers = [
            Process(target=client, args=(what, n, objects, seconds, barrier, results), daemon=True) for n in range(clients)
        ]
        for worker in workers:
            worker.start()
        counts, times = [], []
        # A consumer may be left without items, or a producer without room, when the others end: one of each pair counts.
        for _ in range(clients if what != "queue" else clients // 2):
            count, some = results.get()
            counts.append(count)
            times += some
        times.sort()
        at = lambda share: 1e6 * times[min(len(times) - 1, int(len(times) * share))]
        print(json.dumps({
            "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "rate": sum(counts) / seconds,
            "fairness": min(counts) / max(max(counts), 1),
        }))
        sys.stdout.flush()
        for worker in workers:
            worker.kill()
