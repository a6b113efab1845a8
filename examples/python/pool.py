"""A Python program whose work is done by a pool of Rust's: `task_server.rs` beside this file. Argument: the server's socket."""

import os
import sys
from multiprocessing.managers import SyncManager

manager = SyncManager(address=sys.argv[1], authkey=os.environ["SHARED_KEY"].encode())
manager.connect()
with manager.Pool(4) as pool:
    for number, divisors in zip(range(1, 13), pool.imap("divisors", range(1, 13))):
        print(number, *divisors, sep="\t")
    later = pool.apply_async("remainder", (17,), {"divisor": 5})
    print("17 % 5 =", later.get(timeout=10))
    try:
        pool.apply("remainder", (1, 0))
    except ZeroDivisionError as error:
        print("ZeroDivisionError:", error)
