"""Servers to replay recorded answers on."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.serving.golden.recorded import Case, Program
from tests.serving.golden.server import Servers

_WORKERS = 2
"""How many cases with a server of their own are played at once: most of their time is waiting."""


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts servers, and ends them all, also when the tests are interrupted or terminated."""
    made = Servers(lambda: tmp_path_factory.mktemp("server"))
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
    yield made
    signal.signal(signal.SIGTERM, before)
    made.close()


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Callable[[Program, Case], list[str]]]:
    """What differs in a case of this module; its function ``play`` plays those that are selected, some ahead."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    mine = [item for item in items if item.module is request.module and hasattr(item, "callspec")]
    params: list[dict[str, Any]] = [item.callspec.params for item in mine]
    selected = [(one["program"], one["case"]) for one in params if one.get("case")]
    threads = ThreadPoolExecutor(_WORKERS)
    playing = {
        (program, case.id): threads.submit(request.module.play, servers, program, case) for program, case in selected
    }
    yield lambda program, case: playing[program, case.id].result()
    threads.shutdown(wait=False, cancel_futures=True)  # one that still runs ends with its server
