"""The command line, against what tensorflow_model_server 2.20 was recorded to do and what TF's own parser answers."""

from dataclasses import asdict, fields, replace

import pytest

from serving.flags import Flags, parse, usage

CPUS = Flags().num_tflite_pools

DEFAULTS = {
    "port": 8500,
    "grpc_socket_path": "",
    "rest_api_port": 0,
    "rest_api_num_threads": 4 * CPUS,
    "rest_api_timeout_in_ms": 30000,
    "rest_api_enable_cors_support": False,
    "model_name": "default",
    "model_base_path": "",
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "file_system_poll_wait_seconds": 1,
    "allow_version_labels_for_unavailable_models": False,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60000000,
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "flush_filesystem_caches": True,
    "enable_batching": False,
    "batching_parameters_file": "",
    "enable_per_model_batching_parameters": False,
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "saved_model_tags": "serve",
    "prefer_tflite_model": False,
    "num_tflite_pools": CPUS,
    "num_tflite_interpreters_per_pool": 1,
    "monitoring_config_file": "",
    "ssl_config_file": "",
    "use_alts_credentials": False,
    "grpc_channel_arguments": "",
    "grpc_max_threads": 4 * CPUS,
    "enable_grpc_healthcheck_service": False,
    "enable_serialization_as_tensor_content": False,
    "enable_signature_method_name_check": False,
    "enable_profiler": True,
    "tensorflow_session_parallelism": 0,
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "tensorflow_session_config_file": "",
    "platform_config_file": "",
    "per_process_gpu_memory_fraction": 0.0,
    "remove_unused_fields_from_bundle_metagraph": True,
    "thread_pool_factory_config_file": "",
    "mixed_precision": "",
    "xla_cpu_compilation_enabled": False,
    "xla_gpu_compilation_enabled": False,
    "skip_initialize_tpu": False,
    "version": False,
}


def test_no_argument_means_the_defaults():
    parsed = parse([])
    assert asdict(parsed.flags) == DEFAULTS
    assert (parsed.unknown, parsed.errors, parsed.asks_for_usage) == ((), (), False)


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=1", "port", 1),
        ("--port=+5", "port", 5),
        ("--port= 5 ", "port", 5),
        ("--port=007", "port", 7),
        ("--port=2147483647", "port", 2147483647),
        ("--port=-2147483648", "port", -2147483648),
        ("--load_retry_interval_micros=9223372036854775807", "load_retry_interval_micros", 9223372036854775807),
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=true", "enable_batching", True),
        ("--enable_batching=tRUe", "enable_batching", True),
        ("--enable_batching=1", "enable_batching", True),
        ("--enable_model_warmup=False", "enable_model_warmup", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--per_process_gpu_memory_fraction=.5", "per_process_gpu_memory_fraction", 0.5),
        ("--per_process_gpu_memory_fraction= 1e3", "per_process_gpu_memory_fraction", 1000.0),
        ("--per_process_gpu_memory_fraction=0x10", "per_process_gpu_memory_fraction", 16.0),
        ("--per_process_gpu_memory_fraction=inf", "per_process_gpu_memory_fraction", float("inf")),
        ("--model_name=", "model_name", ""),
        ("--grpc_channel_arguments=a=1,b=2", "grpc_channel_arguments", "a=1,b=2"),
    ],
)
def test_a_value_is_read(argument, name, value):
    parsed = parse([argument])
    assert parsed.flags == replace(Flags(), **{name: value})
    assert (parsed.unknown, parsed.errors, parsed.asks_for_usage) == ((), (), False)


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("--port=abc", "Couldn't interpret value abc for flag port."),
        ("--port=", "Couldn't interpret value  for flag port."),
        ("--port=5.0", None),
        ("--port=0x10", None),
        ("--port=1_0", None),
        ("--port=\u0665", None),  # int() would take it
        ("--port=2147483648", None),
        ("--load_retry_interval_micros=9223372036854775808", None),
        ("--enable_batching=yes", "Couldn't interpret value yes for flag enable_batching."),
        ("--enable_batching=t", None),
        ("--enable_batching=", None),
        ("--enable_batching= true", None),
        ("--per_process_gpu_memory_fraction=abc", None),
        ("--per_process_gpu_memory_fraction=1f", None),
        ("--per_process_gpu_memory_fraction=1_0", None),
        ("--per_process_gpu_memory_fraction=0xzz", None),
    ],
)
def test_a_value_that_cannot_be_read_asks_for_the_usage_text(argument, error):
    parsed = parse([argument])
    assert parsed.flags == Flags()
    assert parsed.asks_for_usage
    assert len(parsed.errors) == 1
    assert error in {None, parsed.errors[0]}


@pytest.mark.parametrize(
    ("arguments", "unknown"),
    [
        (["--port", "8500"], ("--port", "8500")),
        (["extra"], ("extra",)),
        (["-v"], ("-v",)),
        (["-enable_batching"], ("-enable_batching",)),
        (["enable_batching=true"], ("enable_batching=true",)),
        (["--enable_batchingX"], ("--enable_batchingX",)),
        (["--noenable_batching"], ("--noenable_batching",)),
        ([""], ("",)),
        (["--"], ("--",)),
        (["--", "--model_name=m", "--port=x"], ("--", "--model_name=m", "--port=x")),
        (["x", "--help"], ("x", "--help")),
    ],
)
def test_what_is_no_flag_is_kept_and_does_not_stop_the_start(arguments, unknown):
    assert parse(arguments).flags == Flags()
    assert parse(arguments).unknown == unknown
    assert not parse(arguments).asks_for_usage


def test_help_is_heard_as_the_first_unknown_argument():
    assert parse(["--help"]).asks_for_usage
    assert parse(["--port=1", "--help", "x"]).asks_for_usage


def test_the_last_value_counts_but_a_wrong_one_is_not_forgotten():
    assert parse(["--port=1", "--port=2"]).flags.port == 2
    parsed = parse(["--port=x", "--port=3"])
    assert (parsed.flags.port, parsed.asks_for_usage) == (3, True)


def test_the_usage_text_has_a_line_for_each_flag():
    lines = usage("/bin/server").split("\n")
    assert lines[:3] == ["usage: /bin/server", "Flags:", lines[2]]
    assert lines[2].startswith("\t--port=8500                      \tint32\t")
    assert lines[-1] == ""
    shown = {line.split("\t")[1].rstrip(): line.split("\t")[2] for line in lines[2:-1]}
    assert len(shown) == len(fields(Flags))
    assert shown['--model_name="default"'] == "string"
    assert shown["--enable_profiler=true"] == "bool"
    assert shown["--load_retry_interval_micros=60000000"] == "int64"
    assert shown["--per_process_gpu_memory_fraction=0.000000"] == "float"
    assert all(line.split("\t")[3] for line in lines[2:-1])
