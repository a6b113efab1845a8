"""Waits for an item of a queue that a Rust program shuts down. Arguments: the address, the key, and the Python's second number."""

import multiprocessing
import queue
import sys
from multiprocessing.managers import BaseManager


class Manager(BaseManager):
    pass


Manager.register("get_queue")


def main():
    key = sys.argv[2].encode()
    multiprocessing.current_process().authkey = key
    manager = Manager(address=sys.argv[1], authkey=key)
    manager.connect()
    items = manager.get_queue()
    print("waits", flush=True)
    expected = queue.ShutDown if sys.version_info >= (3, 13) else queue.Empty
    try:
        items.get()
    except Exception as error:
        assert type(error) is expected, repr(error)
        return
    raise AssertionError("nothing was raised")


if __name__ == "__main__":
    main()
