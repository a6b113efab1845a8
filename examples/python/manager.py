"""A manager of Python's own, with jobs for a Rust worker, and its results. Argument: the path of its socket."""

import os
import queue
import sys
from multiprocessing.managers import DictProxy, SyncManager

# The server's: whoever asks for them by name gets these.
JOBS, RESULTS = queue.Queue(), {}


def get_jobs():
    return JOBS


def get_results():
    return RESULTS


class Manager(SyncManager):
    pass


Manager.register("get_jobs", get_jobs)
Manager.register("get_results", get_results, DictProxy)


def main():
    manager = Manager(address=sys.argv[1], authkey=os.environ["SHARED_KEY"].encode())
    manager.start()
    jobs, results = manager.get_jobs(), manager.get_results()
    for number in range(2, 30):
        jobs.put(number)
    jobs.put(None)
    print("start the worker", flush=True)
    jobs.join()
    print(results.copy())


if __name__ == "__main__":
    main()
