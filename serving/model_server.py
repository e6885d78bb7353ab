"""``showdown-model-server``: takes the flags of ``tensorflow_model_server`` and follows them to the letter.

Source: main.cc and server.cc of TensorFlow Serving.
"""

import logging
import os
import signal
import sys
import threading
from importlib import metadata
from typing import NoReturn

from contract.errors import StatusError
from runtimes.quiet import keep_stderr
from runtimes.tensorflow_c_api import load_library
from serving.flags import Flags, parse, usage
from serving.running import Ending, start_interruptibly

__all__ = ["main"]

_FAILED = 255
_GRACE_SECONDS = 30.0


def main() -> int:
    """Serves until it is told to end; gives the exit status."""
    parsed = parse(sys.argv[1:])
    program = sys.argv[0]
    for line in parsed.errors:
        print(line, file=sys.stderr)
    if parsed.asks_for_usage:
        if parsed.unknown and parsed.unknown[0] != "--help":
            print(f"unknown argument: {parsed.unknown[0]}")
        print(usage(program), end="")
        return _FAILED
    if parsed.flags.version:
        print(f"TensorFlow ModelServer: {metadata.version('tensorflow-serving-api')}")
        print(f"TensorFlow Library: {metadata.version('tensorflow')}")
        return 0
    if parsed.unknown:
        print(f"unknown argument: {parsed.unknown[0]}\n{usage(program)}", end="")
    sys.stdout.flush()
    # The libraries take a third of the start: they load beside the imports.
    keep_stderr()
    threading.Thread(target=load_library, name="load-library", daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s] %(message)s")
    try:
        _serve(parsed.flags)
    except StatusError as err:
        print(f"Failed to start server. Error: {err}")
        sys.stdout.flush()
        # Loads may still run in threads that do not end.
        os._exit(_FAILED)


def _serve(flags: Flags) -> NoReturn:
    from serving.options import DeadlyConfigError, read_config, server_options
    from serving.server import ModelServer, settle

    ending = Ending()
    try:
        options = server_options(flags)
    except DeadlyConfigError as err:
        _die(err.number, err.message)
    config = read_config(flags)
    if config.WhichOneof("config") == "custom_model_config":
        _die(signal.SIGABRT, f"{flags.model_config_file}: custom_model_config is not supported")
    server = ModelServer(options)
    start_interruptibly(lambda: server.start(config), ending)
    if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
        server.poll_config(lambda: read_config(flags), flags.model_config_file_poll_wait_seconds)
    settle()
    ending.wait_for_it()
    server.stop(_GRACE_SECONDS)
    sys.stdout.flush()
    os._exit(0)  # calls that outlast the grace do not keep the process


def _die(number: signal.Signals, message: str) -> NoReturn:
    """Ends the process by the signal that the original dies of here, and says why, which the original does not."""
    print(message, file=sys.stderr)
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(_FAILED)
