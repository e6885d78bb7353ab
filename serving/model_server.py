"""``showdown-model-server``: takes the flags of ``tensorflow_model_server`` and follows them to the letter.

Source: main.cc and server.cc of TensorFlow Serving.
"""

import logging
import os
import signal
import sys
import threading
from importlib import metadata
from typing import Any, NoReturn

from contract.errors import Code, StatusError
from runtimes.quiet import keep_stderr
from runtimes.tensorflow_c_api import load_library
from serving.flags import Flags, parse, usage
from serving.running import Ending, start_interruptibly

__all__ = ["main", "read_config", "server_options"]

_FAILED = 255
_GRACE_SECONDS = 30.0
_CONFIG = "tensorflow_serving.config.model_server_config_pb2"


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
    from serving.server import ModelServer, settle

    if flags.port or flags.grpc_socket_path:  # else server_options says so
        _check_models(flags)
    ending = Ending()
    server = ModelServer(server_options(flags))
    config = read_config(flags)
    if config.WhichOneof("config") == "custom_model_config":
        _die(signal.SIGABRT, f"{flags.model_config_file}: custom_model_config is not supported")
    start_interruptibly(lambda: server.start(config), ending)
    if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
        server.poll_config(lambda: read_config(flags), flags.model_config_file_poll_wait_seconds)
    settle()
    ending.wait_for_it()
    server.stop(_GRACE_SECONDS)
    sys.stdout.flush()
    os._exit(0)  # calls that outlast the grace do not keep the process


def server_options(flags: Flags) -> Any:
    """The server that flags describe.

    Raises:
        StatusError: they contradict each other, or a file of theirs cannot be read.
    """
    from serving import config_protos
    from serving.grpc_face.server import GrpcOptions
    from serving.handlers.settings import Settings
    from serving.manager.core import CoreOptions
    from serving.manager.manager import Retries
    from serving.rest.face import RestOptions
    from serving.server import HttpOptions, ServerOptions
    from serving.text_config import read_text_proto

    _check(flags)
    if flags.mixed_precision not in ("", "bfloat16"):
        logging.getLogger(__name__).warning("mixed_precision: bfloat16 is known, not %s", flags.mixed_precision)
    load = _load_options(flags)
    if flags.thread_pool_factory_config_file:
        read_text_proto(flags.thread_pool_factory_config_file, config_protos.thread_pool_factory_config())
    tls = _tls(flags.ssl_config_file)
    timeout = flags.rest_api_timeout_in_ms
    return ServerOptions(
        grpc=GrpcOptions(
            "0.0.0.0",
            flags.port,
            flags.grpc_socket_path,
            max_threads=max(32, flags.grpc_max_threads),
            tls=tls,
            arguments=_channel_arguments(flags.grpc_channel_arguments),
        ),
        http=HttpOptions(flags.rest_api_port, threads=flags.rest_api_num_threads),
        rest=RestOptions(
            timeout=timeout / 1000 if timeout > 0 else None,
            allows_cors=flags.rest_api_enable_cors_support,
            metrics_path=_metrics_path(flags.monitoring_config_file),
        ),
        core=CoreOptions(
            poll_seconds=flags.file_system_poll_wait_seconds,
            retries=Retries(flags.max_num_load_retries, max(0, flags.load_retry_interval_micros) / 1e6),
            num_load_threads=flags.num_load_threads,
            allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        ),
        load=load,
        settings=Settings(
            check_method_name=flags.enable_signature_method_name_check,
            as_tensor_content=flags.enable_serialization_as_tensor_content,
        ),
        has_health_service=flags.enable_grpc_healthcheck_service,
    )


def _check_models(flags: Flags) -> None:
    """Refuses flags that name no model."""
    if not flags.model_base_path and not flags.model_config_file:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
        )


def _check(flags: Flags) -> None:
    """Refuses flags that contradict each other."""
    problems = (
        (
            not flags.port and not flags.grpc_socket_path,
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.",
        ),
        (
            flags.use_alts_credentials and flags.ssl_config_file,
            "Either use_alts_credentials must be false or ssl_config_file must be empty.",
        ),
        (
            flags.batching_parameters_file and not flags.enable_batching,
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
        ),
        (
            flags.tensorflow_session_parallelism
            and flags.tensorflow_intra_op_parallelism
            and flags.tensorflow_inter_op_parallelism,
            (
                "server_options.tensorflow_session_parallelism cannot be set together with "
                "server_options.tensorflow_intra_op_parallelism and server_options.tensorflow_inter_op_parallelism."
            ),
        ),
        (flags.use_alts_credentials, "ALTS credentials exist on Google's cloud only; use ssl_config_file."),
    )
    for is_wrong, message in problems:
        if is_wrong:
            raise StatusError(Code.INVALID_ARGUMENT, message)


def read_config(flags: Flags) -> Any:
    """The ``ModelServerConfig`` of the flags: of their file, or of their single model.

    Raises:
        StatusError: the file cannot be read.
    """
    from runtimes.tensorflow_protos import import_proto
    from serving.text_config import read_text_proto

    kind = import_proto(_CONFIG).ModelServerConfig
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, kind)
    config = kind()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform="tensorflow"
    )
    return config


def _load_options(flags: Flags) -> Any:
    from serving import config_protos
    from serving.batching.parameters import BatchingParameters
    from serving.loading import LoadOptions
    from serving.text_config import read_text_proto

    batching = None
    if flags.enable_batching and not flags.enable_per_model_batching_parameters:
        batching = BatchingParameters(thread_pool_name="")
        if flags.batching_parameters_file:
            message = read_text_proto(flags.batching_parameters_file, config_protos.batching_parameters())
            batching = BatchingParameters.from_proto(message)
            if batching.max_batch_size == 0:
                _die(signal.SIGSEGV, f"{flags.batching_parameters_file}: max_batch_size must be positive; was 0")
    options = LoadOptions(
        tags=flags.saved_model_tags.split(","),
        session_config=_session_config(flags),
        prefers_tflite=flags.prefer_tflite_model,
        tflite_interpreters=max(1, flags.num_tflite_pools * flags.num_tflite_interpreters_per_pool),
        batching=batching,
        has_own_batching=flags.enable_batching and flags.enable_per_model_batching_parameters,
        warms_up=flags.enable_model_warmup,
        warm_up_iterations=max(1, flags.num_request_iterations_for_warmup),
    )
    if flags.platform_config_file:
        from serving.platform_config import apply_platform_config

        options = apply_platform_config(flags.platform_config_file, options)
    return options


def _session_config(flags: Flags) -> bytes:
    """A serialized ConfigProto."""
    from runtimes.tensorflow_protos import import_proto
    from serving.text_config import read_text_proto

    kind = import_proto("tensorflow.core.protobuf.config_pb2").ConfigProto
    if flags.tensorflow_session_config_file:
        config = read_text_proto(flags.tensorflow_session_config_file, kind)
    else:
        config = kind()
        both = flags.tensorflow_session_parallelism
        config.intra_op_parallelism_threads = flags.tensorflow_intra_op_parallelism or both
        config.inter_op_parallelism_threads = flags.tensorflow_inter_op_parallelism or both
        if flags.per_process_gpu_memory_fraction > 0:
            config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
        else:
            config.device_count["GPU"] = 0  # to look for one takes time, and TensorFlow Serving's own build has none
    serialized: bytes = config.SerializeToString()
    return serialized


def _tls(file: str) -> Any:
    """Keys and certificates of ``--ssl_config_file``, None without it."""
    from serving import config_protos
    from serving.grpc_face.server import Tls
    from serving.text_config import read_text_proto

    if not file:
        return None
    try:
        config = read_text_proto(file, config_protos.ssl_config())
    except StatusError as err:
        _die(signal.SIGABRT, f"ssl_config_file: {err}")
    return Tls(config.server_key.encode(), config.server_cert.encode(), config.custom_ca.encode(), config.client_verify)


def _metrics_path(file: str) -> str:
    """Path of the Prometheus page; a file that cannot be read is only logged."""
    from serving import config_protos
    from serving.text_config import read_text_proto

    if not file:
        return ""
    try:
        config = read_text_proto(file, config_protos.monitoring_config()).prometheus_config
    except StatusError as err:
        logging.getLogger(__name__).error("monitoring_config_file: %s", err)  # noqa: TRY400  the place says it all
        return ""
    return (config.path or "/monitoring/prometheus/metrics") if config.enable else ""


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """``k=v,k=v``; an integer is passed as one."""
    found: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if equals:
            found.append((name, int(value) if value.lstrip("-").isdigit() else value))
    return tuple(found)


def _die(number: signal.Signals, message: str) -> NoReturn:
    """Ends the process by the signal that the original dies of here, and says why, which the original does not."""
    print(message, file=sys.stderr)
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(_FAILED)
