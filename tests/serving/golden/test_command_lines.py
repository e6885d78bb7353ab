"""Each recorded command line starts, waits or is refused as recorded."""

import pytest

from tests.serving.golden.comparison import differences
from tests.serving.golden.recorded import Case, command_lines, parameters
from tests.serving.golden.server import Servers

pytestmark = pytest.mark.slow

SETTLED_S = 0.7
"""How long a server that listens must still live to count as ready."""


def play(servers: Servers, program, case: Case) -> list[str]:
    command = case.data["cli"]
    with servers.start(program, command, servers.folder()) as server:
        port = "<REST>" if command.get("wait") == "rest" else "<GRPC>"
        state = server.start({**command, "expect": case.data["expect"]}, port)
        if state["state"] == "ready" and server.ends_within(SETTLED_S):
            state = server.start({**command, "expect": case.data["expect"]}, port)
        found = differences(server.filled(case.data), {**state, "stdout": server.stdout})
        return [*found, server.report()] if found else []


@pytest.mark.parametrize(("program", "case"), parameters(command_lines()))
def test_the_command_line_does_what_is_recorded(played, program, case):
    found = played(program, case)
    assert not found, "\n".join(found)
