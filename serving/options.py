"""From flags to the options of a server.

Source: main.cc and server.cc of TensorFlow Serving.
"""

import logging
import signal
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensorflow_protos import import_proto
from serving import config_protos, protos
from serving.batching.parameters import BatchingParameters
from serving.flags import Flags
from serving.grpc_face.server import GrpcOptions, Tls
from serving.handlers.settings import Settings
from serving.loading import LoadOptions
from serving.manager.core import CoreOptions
from serving.manager.manager import Retries
from serving.platform_config import apply_platform_config
from serving.rest.face import RestOptions
from serving.server import HttpOptions, ServerOptions
from serving.text_config import read_text_proto

__all__ = ["DeadlyConfigError", "read_config", "server_options"]

_log = logging.getLogger(__name__)


class DeadlyConfigError(StatusError):
    """A config of which the original dies.

    Attributes:
        number: the signal by which it does.
    """

    def __init__(self, message: str, number: signal.Signals) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)
        self.number = number


def server_options(flags: Flags, *, names_models: bool = True) -> ServerOptions:
    """The server that flags describe.

    Args:
        flags: the command line.
        names_models: they have to say what is served.

    Raises:
        StatusError: they contradict each other, or a file of theirs cannot be read.
    """
    _check(flags, names_models=names_models)
    if flags.mixed_precision not in ("", "bfloat16"):
        _log.warning("mixed_precision: bfloat16 is known, not %s", flags.mixed_precision)
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


def read_config(flags: Flags) -> Any:
    """The ``ModelServerConfig`` of the flags: of their file, or of their single model.

    Raises:
        StatusError: the file cannot be read.
    """
    kind = protos.model_server_config.ModelServerConfig
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, kind)
    config = kind()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform="tensorflow"
    )
    return config


def _check(flags: Flags, *, names_models: bool) -> None:
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
            names_models and not flags.model_base_path and not flags.model_config_file,
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
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


def _load_options(flags: Flags) -> LoadOptions:
    """How versions are loaded."""
    batching = None
    if flags.enable_batching and not flags.enable_per_model_batching_parameters:
        batching = BatchingParameters(thread_pool_name="")
        if flags.batching_parameters_file:
            message = read_text_proto(flags.batching_parameters_file, config_protos.batching_parameters())
            batching = BatchingParameters.from_proto(message)
            if batching.max_batch_size == 0:
                raise DeadlyConfigError(
                    f"{flags.batching_parameters_file}: max_batch_size must be positive; was 0", signal.SIGSEGV
                )
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
        options = apply_platform_config(flags.platform_config_file, options)
    return options


def _session_config(flags: Flags) -> bytes:
    """A serialized ConfigProto."""
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


def _tls(file: str) -> Tls | None:
    """Keys and certificates of ``--ssl_config_file``, None without it."""
    if not file:
        return None
    try:
        config = read_text_proto(file, config_protos.ssl_config())
    except StatusError as err:
        raise DeadlyConfigError(f"ssl_config_file: {err.message}", signal.SIGABRT) from err
    return Tls(config.server_key.encode(), config.server_cert.encode(), config.custom_ca.encode(), config.client_verify)


def _metrics_path(file: str) -> str:
    """Path of the Prometheus page; a file that cannot be read is only logged."""
    if not file:
        return ""
    try:
        config = read_text_proto(file, config_protos.monitoring_config()).prometheus_config
    except StatusError as err:
        _log.error("monitoring_config_file: %s", err)
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
