"""The same operations on Python's own managed queue, for benches/queues.rs.

Reads lines of an operation's name and a number of items; answers each by the seconds that those items took.
"""

import multiprocessing
import sys
import time


def echo(there, back):
    """The other process: what comes goes back."""
    while (item := there.get()) is not None:
        back.put(item)


def main():
    with multiprocessing.Manager() as manager:
        queue, there, back = manager.Queue(), manager.Queue(), manager.Queue()
        other = multiprocessing.Process(target=echo, args=(there, back), daemon=True)
        other.start()

        def put_get(items):
            for number in range(items):
                queue.put(number)
                queue.get()

        def fill_empty(items):
            for number in range(items):
                queue.put(number)
            for _ in range(items):
                queue.get()

        def there_and_back(items):
            for number in range(items):
                there.put(number)
                back.get()

        operations = {"put_get": put_get, "many": fill_empty, "there_and_back": there_and_back}
        for line in sys.stdin:
            name, items = line.split()
            begin = time.perf_counter()
            operations[name](int(items))
            print(time.perf_counter() - begin, flush=True)
        there.put(None)
        other.join()


if __name__ == "__main__":
    main()
