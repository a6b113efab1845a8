"""Works on objects that a multiproc server has registered, in the way that its fourth argument says."""

import os
import sys
import time
from multiprocessing.managers import SyncManager


class Manager(SyncManager):
    pass


for name in ["get_counter", "get_queue", "get_results", "get_lock", "get_dict", "get_semaphore"]:
    Manager.register(name)
Manager.register("Ledger")


def count(m, rounds):
    """Adds to the counter, and passes queue items on."""
    counter, items, results, shared = m.get_counter(), m.get_queue(), m.get_results(), m.get_dict()
    for _ in range(rounds):
        counter.add(1)
        item = items.get()
        results.put((item, os.getpid()))
    lock = m.get_lock()
    for _ in range(rounds // 4):
        with_lock(lock, shared)


def with_lock(lock, shared):
    lock.acquire()
    shared.update({"sum": shared.get("sum") + 1})
    lock.release()


def hold(m, _):
    """Takes what must come back when this process is killed."""
    objects = [m.list([n]) for n in range(5)]
    m.get_lock().acquire()
    m.get_semaphore().acquire()
    print("holds", flush=True)
    time.sleep(1000)


def wait(m, _):
    """Waits for an item."""
    items = m.get_queue()
    items.qsize()
    print("waits", flush=True)
    print("got", items.get(), flush=True)


def ledger(m, _):
    """Calls a type that was written in Rust."""
    ledger = m.Ledger("shop")
    assert ledger.enter("rent", 500) == 500 and ledger.enter(what="food", amount=20) == 520
    assert ledger.entries() == [("rent", 500), ("food", 20)], ledger.entries()
    assert str(ledger) == "Ledger of shop" and ledger.largest() == {"what": "rent", "amount": 500}, ledger.largest()
    for call, text in [(lambda: ledger.enter("debt", -1), "a negative amount"), (lambda: ledger.enter("x"), "`amount` is missing"), (lambda: ledger.crash(), "told to")]:
        try:
            call()
            raise SystemExit("no error")
        except SystemExit:
            raise
        except Exception as error:
            assert text in str(error), (type(error), error)
    print("done", flush=True)


def main():
    address, key, mode = sys.argv[1], sys.argv[2].encode(), sys.argv[4]
    # Proxies that come inside of values authenticate by the process's key.
    import multiprocessing

    multiprocessing.current_process().authkey = key
    m = Manager(address=address, authkey=key)
    m.connect()
    globals()[mode](m, int(sys.argv[5]) if len(sys.argv) > 5 else 0)


main()
