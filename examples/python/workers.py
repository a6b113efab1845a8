"""Python workers on a Rust manager: counts the words of the files of a directory in eight processes. Arguments: the server's socket and, if not this one, a directory."""

import multiprocessing
import os
import pathlib
import sys
from multiprocessing.managers import SyncManager


def connect(address):
    key = os.environ["SHARED_KEY"].encode()
    # Proxies that come out of other objects authenticate by the process's key.
    multiprocessing.current_process().authkey = key
    manager = SyncManager(address=address, authkey=key)
    manager.connect()
    return manager


def count(files, totals, lock):
    while (path := files.get()) is not None:
        words = len(pathlib.Path(path).read_text(errors="replace").split())
        with lock:
            totals[pathlib.Path(path).suffix] = totals.get(pathlib.Path(path).suffix, 0) + words


def main():
    directory = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    manager = connect(sys.argv[1])
    files, totals, lock = manager.Queue(), manager.dict(), manager.Lock()
    workers = [multiprocessing.Process(target=count, args=(files, totals, lock)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for path in directory.rglob("*.md"):
        files.put(str(path))
    for path in directory.rglob("*.py"):
        files.put(str(path))
    for _ in workers:
        files.put(None)
    for worker in workers:
        worker.join()
    print(totals)


if __name__ == "__main__":
    main()
