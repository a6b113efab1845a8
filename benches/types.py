"""The same operations through Python's own managers, for benches/types.rs.

Reads lines of an operation's name and a number of calls; answers each by the seconds that those calls took.
"""

import multiprocessing
import sys
import time


def keep_step(barrier):
    """The other party of a barrier, until it is aborted."""
    try:
        while True:
            barrier.wait()
    except Exception:  # broken, or the manager is gone
        pass


def echo(there, back):
    """The other process: what comes goes back."""
    while (item := there.get()) is not None:
        back.put(item)


def main():
    with multiprocessing.Manager() as manager:
        lock, rlock, semaphore, event = manager.Lock(), manager.RLock(), manager.Semaphore(2), manager.Event()
        barrier = manager.Barrier(2)
        other = multiprocessing.Process(target=keep_step, args=(barrier,), daemon=True)
        other.start()

        condition = manager.Condition()
        queue, there, back = manager.Queue(), manager.Queue(), manager.Queue()
        echoing = multiprocessing.Process(target=echo, args=(there, back), daemon=True)
        echoing.start()

        def notify():
            with condition:
                condition.notify_all()

        def put_and_get():
            queue.put(1)
            queue.get()

        def fill_and_empty():
            for number in range(50):
                queue.put(number)
            for _ in range(50):
                queue.get()

        def there_and_back():
            there.put(1)
            back.get()

        words, numbers = manager.dict({str(n): n for n in range(1000)}), manager.list(range(1000))
        value, array = manager.Value("q", 0), manager.Array("q", range(1000))

        def add_to_word():
            words["500"] += 1

        def add_to_value():
            value.value += 1

        def push_and_pop():
            numbers.append(1)
            numbers.pop()

        def taken(what):
            what.acquire()
            what.release()

        operations = {
            "lock": lambda: taken(lock),
            "rlock": lambda: taken(rlock),
            "semaphore": lambda: taken(semaphore),
            "event_set": event.set,
            "event_is_set": event.is_set,
            "condition_notify": notify,
            "barrier": barrier.wait,
            "queue": put_and_get,
            "queue_many": fill_and_empty,
            "queue_there_and_back": there_and_back,
            "dict_get": lambda: words["500"],
            "dict_set": lambda: words.__setitem__("500", 7),
            "dict_add": add_to_word,
            "dict_contains": lambda: "500" in words,
            "list_get": lambda: numbers[500],
            "list_push_pop": push_and_pop,
            "list_all": lambda: numbers[:],
            "value_get": lambda: value.value,
            "value_add": add_to_value,
            "array_set": lambda: array.__setitem__(500, 1),
        }
        for line in sys.stdin:
            name, calls = line.split()
            operation = operations[name]
            begin = time.perf_counter()
            for _ in range(int(calls)):
                operation()
            print(time.perf_counter() - begin, flush=True)
        barrier.abort()
        other.join()
        there.put(None)
        echoing.join()


if __name__ == "__main__":
    main()
