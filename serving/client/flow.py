"""A call as a generator: it yields what to do and is told what came of it, so that threads and asyncio share it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from contract.errors import Code, StatusError, UsageError

__all__ = ["Call", "Deadline", "Flow", "Pause", "Send", "attempt", "run", "run_async"]

T = TypeVar("T")

_FIRST_PAUSE = 0.1
"""Seconds before the first retry; each further pause is twice as long, and all are shortened by up to a half."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this and bring the answer; ``timeout`` in seconds, None for no limit."""

    payload: Any
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


Flow = Generator[Send | Pause, Any, T]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What goes out, in the form that the transport takes, and how its answer is read."""

    payload: Any
    parse: Callable[[Any], T]


class Deadline:
    """The end of a whole call, its retries and the fetching of its signature included."""

    def __init__(self, timeout: float | None) -> None:
        """Starts the clock.

        Raises:
            UsageError: the timeout is not above 0.
        """
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout: wanted seconds above 0, or None, given {timeout}")
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """The seconds that are left, None for no limit."""
        return None if self._end is None else self._end - time.monotonic()


def attempt(call: Call[T], deadline: Deadline, *, retries: int) -> Flow[T]:
    """Makes a call, and again where the server is UNAVAILABLE, after pauses that grow and vary.

    Raises:
        StatusError: the last answer, or DEADLINE_EXCEEDED. No pause goes beyond the deadline.
    """
    for number in count():
        left = deadline.left()
        if left is not None and left <= 0:
            raise StatusError(Code.DEADLINE_EXCEEDED, f"no answer within {deadline.timeout:g} s")
        try:
            reply = yield Send(call.payload, left)
            break
        except StatusError as err:
            if err.code is not Code.UNAVAILABLE or number >= retries:
                raise
            pause = _FIRST_PAUSE * 2**number * random.uniform(0.5, 1.0)
            left = deadline.left()
            if left is not None and pause >= left:
                raise
        yield Pause(pause)
    return call.parse(reply)


def run(flow: Flow[T], send: Callable[[Any, float | None], Any]) -> T:
    """Runs a flow in this thread."""
    try:
        step = next(flow)
        while True:
            try:
                reply = None
                if isinstance(step, Send):
                    reply = send(step.payload, step.timeout)
                else:
                    time.sleep(step.seconds)
            except StatusError as err:
                step = flow.throw(err)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result


async def run_async(flow: Flow[T], send: Callable[[Any, float | None], Awaitable[Any]]) -> T:
    """Runs a flow in this event loop."""
    try:
        step = next(flow)
        while True:
            try:
                reply = None
                if isinstance(step, Send):
                    reply = await send(step.payload, step.timeout)
                else:
                    await asyncio.sleep(step.seconds)
            except StatusError as err:
                step = flow.throw(err)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
