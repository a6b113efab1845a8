"""A manager of Python's own, at the address (a path, or "tcp" for any port) and with the key of the arguments."""

import multiprocessing
import queue
import sys
import time
from multiprocessing.managers import SyncManager


class Refusal(Exception):
    def __init__(self, what, code):
        super().__init__(what, code)


class Account:
    def __init__(self, owner, balance=0):
        self.owner, self.balance = owner, balance

    def deposit(self, amount, note=None):
        if amount < 0:
            raise Refusal("negative", amount)
        self.balance += amount
        return {"owner": self.owner, "balance": self.balance, "note": note}

    def __str__(self):
        return "Account of " + self.owner


    def names(self, *items):
        return [item.upper() for item in items]

    def fail(self, how):
        if how == "empty":
            raise queue.Empty
        if how == "key":
            raise KeyError("x")
        raise ValueError("unknown", how)

    def fail_in_words(self, how):
        self.fail(how)

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def open(self, owner):
        return Account(owner)

    def counting(self, end):
        def count():
            yield from range(end)
            raise LookupError("counted out")

        return count()


BASE = 0


def begin_at(base):
    global BASE
    BASE = base


def above(n):
    return BASE + n


def doubled(numbers):
    return [2 * number for number in numbers]


class Manager(SyncManager):
    pass


# Before the first start of the server's process: objects that programs ask for by name.
JOBS = queue.Queue()

Manager.register("Account", Account, method_to_typeid={"open": "OpenAccount", "counting": "Iterator"})
Manager.register("OpenAccount", create_method=False)
if not hasattr(SyncManager, "set"):
    # As 3.14 has it.
    Manager.register("set", set, exposed=[name for name in dir(set) if not name.startswith("_") or name in ("__contains__", "__len__", "__iter__")])
Manager.register("get_jobs", lambda: JOBS)
Manager.register("PriorityQueue", queue.PriorityQueue)
Manager.register("LifoQueue", queue.LifoQueue)

if __name__ == "__main__":
    # With another one, the workers of a pool could not use the proxies that they are given, and their callers would wait for ever.
    multiprocessing.current_process().authkey = sys.argv[2].encode()
    address = ("127.0.0.1", 0) if sys.argv[1] == "tcp" else sys.argv[1]
    manager = Manager(address=address, authkey=sys.argv[2].encode())
    server = manager.get_server()
    print("serves", *(server.address if sys.argv[1] == "tcp" else ()), flush=True)
    server.serve_forever()
