"""``showdown serve``: the model server with safe defaults."""

import logging
import os
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from contract.errors import Code, StatusError, StorageError, UsageError
from contract.store import MANIFEST_NAME, check_files, read_manifest, versions
from runtimes.quiet import keep_stderr
from runtimes.tensorflow_c_api import load_library
from serving.flags import Flags
from serving.running import Ending, start_interruptibly

__all__ = ["ServeOptions", "serve"]

_log = logging.getLogger(__name__)

BINARY = "tensorflow_model_server"
_IMAGE = "tensorflow/serving"

_TERMINATED = (0, 143, -15)
"""How a worker ends that is told to: after its drain, while it starts, or before Python runs."""

_POLL_SECONDS = 2.0
"""How often the build folder, or the config file, is looked at for other models."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What ``showdown serve`` knows beside the flags of TensorFlow Serving.

    Attributes:
        build_dir: whose ``serving/`` is served when the flags name no model.
        host: the address to listen on.
        engine: which server runs: ``auto``, ``embedded``, ``binary`` or ``docker``.
        workers: how many processes share the ports.
        requires_manifest: refuse a version without a manifest, or whose files are not what it says.
        token_file: holds the token that clients have to show, None for none.
        tls_certificate: PEM of the certificate chain for HTTPS, None for plain HTTP.
        tls_key: PEM of its key.
        max_request_bytes: of a request by HTTP or gRPC.
        grace_seconds: how long running calls may take when the server is told to end.
        is_worker: one of several processes; it shares its ports.
    """

    build_dir: Path
    host: str = "127.0.0.1"
    engine: str = "auto"
    workers: int = 1
    requires_manifest: bool = False
    token_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_request_bytes: int = 64 * 2**20
    grace_seconds: float = 30.0
    is_worker: bool = False


def serve(flags: Flags, options: ServeOptions, again: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT; gives the exit status.

    Args:
        flags: those of TensorFlow Serving.
        options: ours.
        again: the command line that starts one worker.

    Raises:
        UsageError: there is nothing to serve, or options contradict each other.
        ShowdownError: the server cannot start.
    """
    if options.engine == "docker":
        print(shlex.join(_docker_command(flags, options)))
        return 0
    binary = shutil.which(BINARY)
    if options.engine == "binary" and binary is None:
        raise UsageError(f"{BINARY} is not on PATH; leave --engine out for the embedded server")
    if binary is not None and options.engine in ("auto", "binary"):
        _become_binary(binary, flags, options)
    if options.workers > 1 and not options.is_worker:
        return _run_workers(flags, options, again)
    return _serve_embedded(flags, options)


def _serve_embedded(flags: Flags, options: ServeOptions) -> int:
    ending = Ending()
    keep_stderr()
    threading.Thread(target=load_library, name="load-library", daemon=True).start()
    read = _config_reader(flags, options)
    config = read()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S")
    from serving.server import ModelServer, settle

    started = time.perf_counter()
    server = ModelServer(_server_options(flags, options))
    try:
        start_interruptibly(lambda: server.start(config), ending)
    except OSError as err:
        raise StorageError(
            f"REST port {flags.rest_api_port} of {options.host} cannot be taken; is another server running? choose "
            "another port by --rest_api_port"
        ) from err
    settle()
    if not options.is_worker:
        _announce(server, flags, options, time.perf_counter() - started)
    server.poll_config(read, flags.model_config_file_poll_wait_seconds or _POLL_SECONDS)
    ending.wait_for_it()
    _log.info("Told to end: no new calls; those that run have %.0f s", options.grace_seconds)
    server.stop(options.grace_seconds)
    return 0


def _announce(server: Any, flags: Flags, options: ServeOptions, seconds: float) -> None:
    """Says what is served, and how to ask."""
    scheme = "https" if options.tls_certificate else "http"
    for name, version in server.core.available().items():
        print(f"{name:<32} {'not available, see the log' if version is None else f'version {version}'}")
    if flags.port:
        print(f"gRPC  {options.host}:{flags.port}")
    if flags.rest_api_port:
        print(f"REST  {scheme}://{options.host}:{flags.rest_api_port}/v1/models/<name>:predict")
    print(f"Ready in {seconds:.1f} s; Ctrl-C ends it.", flush=True)


def _server_options(flags: Flags, options: ServeOptions) -> Any:
    """The plain server's options, made safe."""
    from serving.options import server_options
    from serving.rest.http import HttpLimits
    from serving.rest.pages import pages

    plain = server_options(flags, names_models=False)
    return replace(
        plain,
        grpc=replace(
            plain.grpc,
            address=options.host,
            max_message_bytes=options.max_request_bytes,
            shares_port=options.is_worker,
        ),
        http=replace(
            plain.http,
            host=options.host,
            limits=HttpLimits(max_body=options.max_request_bytes),
            tls=_tls(options),
            shares_port=options.is_worker,
            is_required=True,
        ),
        core=replace(
            plain.core,
            is_lenient=True,
            allow_labels_for_unavailable=True,
            retries=replace(plain.core.retries, when_changed=True),
        ),
        load=replace(plain.load, check=check_manifest if options.requires_manifest else None),
        has_health_service=True,
        can_reload=not options.is_worker,
        token=_token(options.token_file),
        pages=lambda server: pages(server.core, server.is_serving),
    )


def check_manifest(path: Path) -> None:
    """Holds a version against its manifest.

    Raises:
        ManifestError: it has none, or a file is not what it says.
    """
    check_files(read_manifest(path / MANIFEST_NAME), path)


def _config_reader(flags: Flags, options: ServeOptions) -> Callable[[], Any]:
    """Reads the models to serve: of the flags' file, of the flags' one model, or of the build folder."""
    from serving.options import read_config

    if flags.model_config_file or flags.model_base_path:
        if flags.model_base_path:
            flags = replace(flags, model_base_path=str(Path(flags.model_base_path).absolute()))
        return lambda: read_config(flags)
    folder = options.build_dir / "serving"
    if not _servables(folder):
        raise UsageError(
            f"{folder}: nothing is published there; run make export, or name a model: --model_base_path=/its/folder"
        )
    return lambda: _config_of(folder)


def _servables(folder: Path) -> list[Path]:
    """The folders that have a version."""
    return [child for child in sorted(folder.glob("*")) if child.is_dir() and versions(child)]


def _config_of(folder: Path) -> Any:
    """A ``ModelServerConfig`` of all servables of a folder."""
    from serving import protos

    config = protos.model_server_config.ModelServerConfig()
    config.model_config_list.SetInParent()
    for servable in _servables(folder):
        config.model_config_list.config.add(name=servable.name, base_path=str(servable), model_platform="tensorflow")
    return config


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8"
        raise UsageError(f"{file}: the token cannot be read: {reason}") from err
    if not token:
        raise UsageError(f"{file}: it holds no token")
    return token


def _tls(options: ServeOptions) -> ssl.SSLContext | None:
    """HTTPS, if it is asked for."""
    certificate, key = options.tls_certificate, options.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls_cert and --tls_key go together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as err:
        raise UsageError(f"{certificate}, {key}: no certificate and its key: {err}") from err
    return context


def _config_file(flags: Flags, options: ServeOptions) -> Path:
    """The config that the real server is given."""
    return Path(flags.model_config_file) if flags.model_config_file else options.build_dir / "serving" / "models.config"


def _become_binary(binary: str, flags: Flags, options: ServeOptions) -> NoReturn:
    """Puts the real server in the place of this process."""
    for is_given, name in (
        (options.requires_manifest, "--require_manifest"),
        (options.token_file, "--token_file"),
        (options.tls_certificate, "--tls_cert"),
        (options.workers > 1, "--workers"),
    ):
        if is_given:
            raise UsageError(f"{BINARY} does not know {name}; choose --engine embedded")
    command = [binary, *_flag_list(flags)]
    if not flags.model_base_path and not flags.model_config_file:
        command.append(f"--model_config_file={_config_file(flags, options)}")
    print(
        f"{BINARY} is on PATH: starting it (--engine embedded for the embedded server). It listens on all interfaces."
    )
    print(shlex.join(command), flush=True)
    os.execv(binary, command)


def _docker_command(flags: Flags, options: ServeOptions) -> list[str]:
    """The official image on the same folder, on loopback."""
    folder = options.build_dir.absolute() / "serving"
    return [
        *("docker", "run", "--rm"),
        *("-p", f"{options.host}:{flags.port}:8500", "-p", f"{options.host}:{flags.rest_api_port}:8501"),
        *("-v", f"{folder}:/models:ro", _IMAGE),
        "--model_config_file=/models/models.container.config",
    ]


def _flag_list(flags: Flags) -> list[str]:
    """The flags that are not as by default."""
    from dataclasses import fields

    default = Flags()
    return [
        f"--{field.name}={str(value).lower() if isinstance(value, bool) else value}"
        for field in fields(flags)
        if (value := getattr(flags, field.name)) != getattr(default, field.name)
    ]


def _run_workers(flags: Flags, options: ServeOptions, again: Sequence[str]) -> int:
    """Keeps several processes on the same ports; one that ends by itself is started anew."""
    for port in (flags.port, flags.rest_api_port):
        _check_free(options.host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S")
    ending = Ending()
    started = [time.monotonic()] * options.workers
    workers = [_start_worker(again) for _ in range(options.workers)]
    print(f"{options.workers} workers on gRPC {options.host}:{flags.port}, REST port {flags.rest_api_port}", flush=True)
    while not ending.wait(0.2):
        for index, worker in enumerate(workers):
            if worker.poll() is None:
                continue
            if time.monotonic() - started[index] < 5.0:
                _end(workers, options.grace_seconds)
                raise StatusError(Code.UNKNOWN, f"a worker has ended right after its start with {worker.returncode}")
            _log.error("Worker %d has ended with %d: starting another", worker.pid, worker.returncode)
            workers[index], started[index] = _start_worker(again), time.monotonic()
    return _end(workers, options.grace_seconds)


def _start_worker(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, start_new_session=True)


def _end(workers: Sequence["subprocess.Popen[bytes]"], grace: float) -> int:
    for worker in workers:
        worker.terminate()
    status = 0
    for worker in workers:
        try:
            ended = worker.wait(grace + 10.0)
            status = status if ended in _TERMINATED else ended
        except subprocess.TimeoutExpired:
            worker.kill()
            status = 1
    return status


def _check_free(host: str, port: int) -> None:
    """Refuses a port that somebody has: workers share theirs, and would share it with him."""
    if not port:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            raise StorageError(f"port {port} of {host} cannot be taken: {err.strerror}; choose another") from err
