"""The same work for Python's own pool: prints the seconds of each round, one line a section."""

import multiprocessing
import sys
import time


def square(n):
    return n * n


def busy(microseconds):
    end = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < end:
        pass
    return microseconds


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        fields = dict(line.split(":", 1) for line in list(rollup)[1:])
    return sum(int(fields[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))


if __name__ == "__main__":
    workers, rounds, tiny, long = (int(argument) for argument in sys.argv[1:5])
    context = multiprocessing.get_context("fork")
    with context.Pool(workers) as pool:
        pool.map(square, range(100))
        print("tiny", *(timed(lambda: pool.map(square, range(tiny))) for _ in range(rounds)))
        print("long", *(timed(lambda: pool.map(busy, [100] * long)) for _ in range(rounds)))
        print("apply", *(timed(lambda: pool.apply(square, (3,))) for _ in range(50 * rounds)))
        print("memory", *(memory(worker.pid) for worker in pool._pool))

    def life():
        process = context.Process(target=square, args=(3,))
        process.start()
        process.join()

    life()
    print("life", *(timed(life) for _ in range(20 * rounds)))
