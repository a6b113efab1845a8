"""Exceptions that the author of a Rust type has named. Arguments: the address, the key, and the Python's second number."""

import multiprocessing
import queue
import sys
from multiprocessing.managers import BaseManager, RemoteError


class Overdrawn(Exception):
    """One of this program's own, as a module of the client's has it."""


class Manager(BaseManager):
    pass


Manager.register("Bank")
Manager.register("Mute")


def raised(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def main():
    key = sys.argv[2].encode()
    multiprocessing.current_process().authkey = key
    manager = Manager(address=sys.argv[1], authkey=key)
    manager.connect()
    bank = manager.Bank()
    assert bank.withdraw("ada", 5) == 5
    error = raised(bank.withdraw, "eve", 5)
    assert type(error) is KeyError and error.args == ("eve",), repr(error)
    error = raised(bank.withdraw, "ada", 500)
    assert type(error) is Overdrawn and error.args == (490, ["ada"]), repr(error)
    error = raised(bank.withdraw, "ada", -1)
    assert type(error) is ValueError and error.args == ("less than nothing",), repr(error)
    error = raised(bank.enter)
    assert type(error) is PermissionError and error.args == ("closed on sundays",), repr(error)
    error = raised(bank.parse, "x")
    assert type(error) is queue.Full and "invalid digit" in error.args[0], repr(error)
    error = raised(bank.wait)
    assert type(error) is KeyError and error.args == ("later",), repr(error)
    error = raised(manager.Mute().unnamed)
    assert type(error) is RemoteError and "Missing" in str(error), repr(error)
    # What the system says is no exception of the author's.
    assert type(raised(bank.withdraw, "ada")) is not ValueError
    # A class that this client does not have.
    error = raised(bank.elsewhere)
    assert type(error) is ModuleNotFoundError, repr(error)
    assert bank.withdraw("ada", 1) == 1


if __name__ == "__main__":
    main()
