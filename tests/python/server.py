"""A manager of Python's own, at the address and with the key of the arguments."""

import sys
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


class Manager(SyncManager):
    pass


Manager.register("Account", Account)

if __name__ == "__main__":
    manager = Manager(address=sys.argv[1], authkey=sys.argv[2].encode())
    server = manager.get_server()
    print("serves", flush=True)
    server.serve_forever()
