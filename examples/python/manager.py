"""A manager of Python's own, with jobs for a Rust worker. Argument: the path of its socket."""

import os
import sys
from multiprocessing.managers import SyncManager


def main():
    manager = SyncManager(address=sys.argv[1], authkey=os.environ["SHARED_KEY"].encode())
    manager.start()
    jobs, results = manager.Queue(), manager.dict()
    for number in range(2, 30):
        jobs.put(number)
    jobs.put(None)
    # The worker has no proxies yet: it finds the objects by the names that they have in the server.
    print(jobs._token.id, results._token.id, flush=True)
    jobs.join()
    print(results.copy())


if __name__ == "__main__":
    main()
