"""A server's life as a process: it starts, goes on until a signal, drains and ends."""

import os
import signal
import threading
from collections.abc import Callable

from serving.memory import trim_if_wanted

__all__ = ["Ending", "start_interruptibly"]


class Ending(threading.Event):
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        super().__init__()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())

    def wait_for_it(self) -> None:
        """Blocks until a signal comes; in steps, because a wait without end does not let handlers run everywhere."""
        while not self.wait(1.0):
            trim_if_wanted()


def start_interruptibly(start: Callable[[], None], ending: Ending) -> None:
    """Runs ``start`` in a thread: it may wait for a first version for ever, and a signal ends the process meanwhile.

    Raises:
        BaseException: what ``start`` raises.
    """
    problem: list[BaseException] = []

    def run() -> None:
        try:
            start()
        except BaseException as err:  # noqa: BLE001  it is raised again where the caller is
            problem.append(err)

    thread = threading.Thread(target=run, name="start", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        if ending.is_set():
            os._exit(0)  # threads that load do not end
    if problem:
        raise problem[0]
