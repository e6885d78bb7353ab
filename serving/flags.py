"""The command line of ``tensorflow_model_server`` 2.20: its flags, and how they are read.

Names, order and defaults: tensorflow_serving/model_servers/main.cc and server.h. How they are read:
xla/tsl/util/command_line_flags.cc.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Flags", "Parsed", "parse", "usage"]


def _cpus() -> int:
    """CPUs this process may use: what TF's ``port::NumSchedulableCPUs`` counts (tsl/platform/default/port.cc)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _flag(kind: str, default: object, text: str) -> Any:
    return field(default=default, metadata={"kind": kind, "help": text})


@dataclass(frozen=True, kw_only=True)
class Flags:
    """One field per flag, in the order of the usage text."""

    port: int = _flag("int32", 8500, "TCP port for gRPC on 0.0.0.0; 0: no TCP.")
    grpc_socket_path: str = _flag("string", "", "Listen for gRPC on this UNIX socket too; relative or absolute path.")
    rest_api_port: int = _flag("int32", 0, "Port for HTTP/REST, other than --port; 0: no HTTP.")
    rest_api_num_threads: int = _flag("int32", 4 * _cpus(), "Threads that answer HTTP/REST; default: 4 per CPU.")
    rest_api_timeout_in_ms: int = _flag("int32", 30000, "Longest run of a REST inference call; 0 or less: no limit.")
    rest_api_enable_cors_support: bool = _flag("bool", False, "Add CORS headers to the answers of /v1.")
    enable_batching: bool = _flag("bool", False, "Run requests for the same model together in batches.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        "bool", False, "A new version label may point at a version that is not loaded yet."
    )
    batching_parameters_file: str = _flag("string", "", "Text BatchingParameters; needs --enable_batching.")
    enable_per_model_batching_parameters: bool = _flag(
        "bool",
        False,
        "Take batching parameters from batching_params.pbtxt in each version folder; others do not batch.",
    )
    model_config_file: str = _flag(
        "string",
        "",
        "Text ModelServerConfig: the models to serve; --model_name and --model_base_path are ignored then.",
    )
    model_config_file_poll_wait_seconds: int = _flag(
        "int32", 0, "Read --model_config_file again every so many seconds; 0: never."
    )
    model_name: str = _flag("string", "default", "Name of the one model; ignored with --model_config_file.")
    model_base_path: str = _flag(
        "string", "", "Folder with the version folders of the one model, absolute or a URI; or --model_config_file."
    )
    num_load_threads: int = _flag("int32", 0, "Threads that load versions; 0: one at a time in the manager's own loop.")
    num_unload_threads: int = _flag(
        "int32", 0, "Threads that unload versions; 0: one at a time in the manager's own loop."
    )
    max_num_load_retries: int = _flag("int32", 5, "Attempts after a first load that failed; 0: no second attempt.")
    load_retry_interval_micros: int = _flag("int64", 60000000, "Pause between those attempts; negative: none.")
    file_system_poll_wait_seconds: int = _flag(
        "int32", 1, "Look for new versions every so many seconds; 0: once; negative: never, the start waits for ever."
    )
    flush_filesystem_caches: bool = _flag("bool", True, "Drop what the file system cached once models are loaded.")
    tensorflow_session_parallelism: int = _flag("int64", 0, "Threads of both pools of a session; 0: automatic.")
    tensorflow_session_config_file: str = _flag("string", "", "Text ConfigProto for the sessions.")
    tensorflow_intra_op_parallelism: int = _flag("int64", 0, "Threads within one operation; 0: automatic.")
    tensorflow_inter_op_parallelism: int = _flag("int64", 0, "Operations at the same time; 0: automatic.")
    use_alts_credentials: bool = _flag("bool", False, "Google's ALTS for gRPC; not together with --ssl_config_file.")
    ssl_config_file: str = _flag("string", "", "Text SSLConfig: TLS for gRPC.")
    platform_config_file: str = _flag(
        "string", "", "Text PlatformConfigMap; flags for batching, sessions and tags then have no effect."
    )
    per_process_gpu_memory_fraction: float = _flag("float", 0.0, "Share of the GPU's memory, 0 to 1; 0: automatic.")
    saved_model_tags: str = _flag("string", "serve", "Tags, with commas between, of the MetaGraph to load.")
    grpc_channel_arguments: str = _flag("string", "", "Arguments for the gRPC server: key=value,key=value.")
    grpc_max_threads: int = _flag("int32", 4 * _cpus(), "Most threads of the gRPC server; default: 4 per CPU.")
    enable_model_warmup: bool = _flag("bool", True, "Replay a version's warm-up records when it is loaded.")
    num_request_iterations_for_warmup: int = _flag("int32", 0, "Replay each record so many times; 0: once.")
    version: bool = _flag("bool", False, "Print the versions and exit.")
    monitoring_config_file: str = _flag("string", "", "Text MonitoringConfig: the Prometheus page.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        "bool", True, "Keep of a MetaGraph in memory only what serving needs."
    )
    prefer_tflite_model: bool = _flag("bool", False, "Serve model.tflite of a version folder where there is one.")
    num_tflite_pools: int = _flag("int32", _cpus(), "Pools of TFLite interpreters per model; default: 1 per CPU.")
    num_tflite_interpreters_per_pool: int = _flag("int32", 1, "TFLite interpreters in each pool.")
    enable_signature_method_name_check: bool = _flag(
        "bool", False, "Classify and Regress take only signatures with their own method name."
    )
    xla_cpu_compilation_enabled: bool = _flag("bool", False, "Accepted, without effect here: XLA for CPUs.")
    xla_gpu_compilation_enabled: bool = _flag("bool", False, "Accepted, without effect here: XLA for CPUs and GPUs.")
    enable_profiler: bool = _flag("bool", True, "Offer TensorFlow's profiler service on the gRPC port.")
    thread_pool_factory_config_file: str = _flag("string", "", "Text ThreadPoolFactoryConfig.")
    mixed_precision: str = _flag("string", "", "bfloat16, or nothing.")
    skip_initialize_tpu: bool = _flag("bool", False, "Accepted, without effect here: TPUs.")
    enable_grpc_healthcheck_service: bool = _flag("bool", False, "Offer the standard gRPC health service.")
    enable_serialization_as_tensor_content: bool = _flag(
        "bool", False, "Predict answers with tensor_content instead of typed fields."
    )


@dataclass(frozen=True)
class Parsed:
    """What a command line says.

    Attributes:
        flags: the values; a flag that was not given, or not understood, has its default.
        unknown: arguments that are no flags, in order. TF names the first of them and starts all the same.
        errors: one line for each value that was not understood, as TF logs it.
    """

    flags: Flags
    unknown: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def asks_for_usage(self) -> bool:
        """Whether to print the usage text and exit: a value is wrong, or the first unknown argument is ``--help``."""
        return bool(self.errors) or self.unknown[:1] == ("--help",)


def parse(arguments: Sequence[str]) -> Parsed:
    """Reads a command line; of a flag that is given twice the last value counts.

    Args:
        arguments: without the program's name.
    """
    values: dict[str, object] = {}
    unknown: list[str] = []
    errors: list[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":  # it and all that follows is passed through
            unknown += arguments[index:]
            break
        name, equals, text = argument.removeprefix("--").partition("=")
        kind = _KINDS.get(name) if argument.startswith("--") else None
        if kind == "bool" and not equals:
            values[name] = True
        elif kind is None or not equals:
            unknown.append(argument)
        else:
            try:
                values[name] = _READ[kind](text)
            except ValueError:
                errors.append(f"Couldn't interpret value {text} for flag {name}.")
    return Parsed(Flags(**values), tuple(unknown), tuple(errors))  # type: ignore[arg-type]


def usage(program: str) -> str:
    """The usage text: every flag with its default, its type and its meaning.

    Args:
        program: path of the program, as it was called.
    """
    lines = [f"usage: {program}\n", "Flags:\n"]
    for flag in fields(Flags):
        kind = flag.metadata["kind"]
        shown = f"--{flag.name}={_SHOW[kind](flag.default)}"
        lines.append(f"\t{shown:<33}\t{kind}\t{flag.metadata['help']}\n")
    return "".join(lines)


def _read_integer(bits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # absl::SimpleAtoi: blanks around and a sign are fine; unlike Python's int() no underscore, no other alphabet.
        if not re.fullmatch(r"[+-]?[0-9]+", text.strip(_BLANKS)):
            raise ValueError(text)
        value = int(text)
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(text)
        return value

    return read


def _read_float(text: str) -> float:
    # absl::SimpleAtof: also inf, nan and 0x10.
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float.fromhex(text) if "0x" in text.lower() else float(text)


def _read_bool(text: str) -> bool:
    # No blanks around it, and no yes or t: command_line_flags.cc compares the words itself.
    if text.lower() in {"true", "1"}:
        return True
    if text.lower() in {"false", "0"}:
        return False
    raise ValueError(text)


_BLANKS = " \t\n\v\f\r"

_KINDS: dict[str, str] = {flag.name: flag.metadata["kind"] for flag in fields(Flags)}

_READ: dict[str, Callable[[str], object]] = {
    "int32": _read_integer(32),
    "int64": _read_integer(64),
    "float": _read_float,
    "bool": _read_bool,
    "string": str,
}

_SHOW: dict[str, Callable[[Any], str]] = {
    "int32": str,
    "int64": str,
    "float": "{:f}".format,
    "bool": lambda value: "true" if value else "false",
    "string": '"{}"'.format,
}
