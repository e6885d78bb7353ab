"""Flags whose effect no recorded answer shows; docs/serving-compatibility.md names these files line by line."""

import logging
import sys
from pathlib import Path

import pytest

from contract.errors import Code, StatusError
from serving.flags import Flags
from serving.options import server_options
from tests.serving.golden.recorded import Case, Program, parameters
from tests.serving.golden.scenario import Scenario
from tests.serving.golden.server import Server, Servers

OURS = Program("showdown-model-server", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)

HALF = ("--model_name=m", "--model_base_path=<MODELS>/half_plus_two")

SLOW = {"method": "POST", "path": "/v1/models/m:predict", "body": '{"instances": [400000]}'}
"""Takes 0.4 s."""


def start(*flags, state="ready", seconds=1.5, **expected):
    given = ["--port=<GRPC>", "--rest_api_port=<REST>", *flags]
    return {"do": "start", "flags": given, "seconds": seconds, "expect": {"state": state, **expected}}


def refused(message, *flags):
    return start(*flags, state="exit", exit=255, stdout=f"Failed to start server. Error: {message}\n")


def write(path, text):
    return {"do": "write", "path": path, "text": text}


def call(rest, status, body="<ANY>", **more):
    return {
        "do": "call",
        "rest": rest,
        "expect": {"status": status, "content_type": "application/json", "body": body},
    } | more


def predict(body, status, answer="<ANY>"):
    return call({"method": "POST", "path": "/v1/models/m:predict", "body": body}, status, answer)


MANY = '{"inputs": [' + ",".join(["1.0"] * 100) + "]}"

PLATFORM = """
platform_configs { key: "tensorflow" value { source_adapter_config {
  [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
    legacy_config { saved_model_tags: "other" }
  }
} } }
"""

CASES = {
    "all-three-parallelisms": [
        refused(
            "INVALID_ARGUMENT: server_options.tensorflow_session_parallelism cannot be set together with "
            "server_options.tensorflow_intra_op_parallelism and server_options.tensorflow_inter_op_parallelism.",
            *HALF,
            "--tensorflow_session_parallelism=1",
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=1",
        )
    ],
    "custom-model-config": [
        write("m.config", "custom_model_config { }\n"),
        start("--model_config_file=<BASE>/m.config", state="exit", exit="signal 6", stdout=""),
    ],
    "flags-that-are-only-accepted": [
        write("pool", "\n"),
        start(
            *HALF,
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=1",
            "--num_load_threads=2",
            "--num_unload_threads=2",
            "--flush_filesystem_caches=false",
            "--remove_unused_fields_from_bundle_metagraph=false",
            "--enable_profiler=false",
            "--xla_cpu_compilation_enabled=true",
            "--xla_gpu_compilation_enabled=true",
            "--skip_initialize_tpu=true",
            "--mixed_precision=bfloat16",
            "--rest_api_num_threads=1",
            "--grpc_max_threads=4",
            "--per_process_gpu_memory_fraction=0.5",
            "--thread_pool_factory_config_file=<BASE>/pool",
        ),
        predict('{"instances": [2.0]}', 200),
    ],
    "the-config-file-wins": [
        write(
            "m.config",
            'model_config_list { config { name: "m" base_path: "<MODELS>/half_plus_two" '
            'model_platform: "tensorflow" } }\n',
        ),
        start("--model_config_file=<BASE>/m.config", "--model_name=other", "--model_base_path=relative"),
        predict('{"instances": [2.0]}', 200),
        call({"method": "GET", "path": "/v1/models/other"}, 404),
    ],
    "tags-are-a-comma-list": [
        refused(
            "UNKNOWN: 1 servable(s) did not become available: {{{name: m version: 3} due to error: NOT_FOUND: <ANY>",
            *HALF,
            "--saved_model_tags=serve,other",
            "--max_num_load_retries=0",
        )
    ],
    "session-config-file": [
        write("session", "operation_timeout_in_ms: 100\n"),
        start(
            "--model_name=m",
            "--model_base_path=<MODELS>/slow",
            "--rest_api_timeout_in_ms=0",
            "--tensorflow_session_config_file=<BASE>/session",
        ),
        call(SLOW, 504),
    ],
    "no-rest-timeout": [
        start("--model_name=m", "--model_base_path=<MODELS>/slow", "--rest_api_timeout_in_ms=-1"),
        call(SLOW, 200),
    ],
    "platform-config-file": [  # the flags for batching, sessions and tags have no effect beside it
        write("platform", PLATFORM),
        write("batching", "max_batch_size { value: 2 }\n"),
        start(
            "--model_name=m",
            "--model_base_path=<MODELS>/tagged",
            "--platform_config_file=<BASE>/platform",
            "--saved_model_tags=serve",
            "--enable_batching=true",
            "--batching_parameters_file=<BASE>/batching",
            "--max_num_load_retries=0",
        ),
        predict(MANY, 200),
    ],
    "channel-arguments": [
        start(*HALF, "--grpc_channel_arguments=grpc.primary_user_agent=x,grpc.absolute_max_metadata_size=100"),
        {
            "do": "call",
            "runtime_text": True,
            "grpc": {"method": "GetModelStatus", "request": {"model_spec": {"name": "m"}}},
            "expect": {"code": "RESOURCE_EXHAUSTED", "message": ""},
        },
    ],
    "the-file-system-is-looked-at-once": [
        {"do": "copy", "from": "half_plus_two/1", "to": "m/1"},
        start("--model_name=m", "--model_base_path=<BASE>/m", "--file_system_poll_wait_seconds=0"),
        {"do": "copy", "from": "half_plus_two/2", "to": "m/2"},
        {"do": "sleep", "seconds": 1.5},
        call({"method": "GET", "path": "/v1/models/m/versions/1"}, 200),
        call({"method": "GET", "path": "/v1/models/m/versions/2"}, 404),
    ],
    "the-file-system-is-never-looked-at": [
        start(*HALF, "--file_system_poll_wait_seconds=-1", state="waiting"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "case"), parameters(Case(name, {"steps": steps}) for name, steps in CASES.items()))
def test_the_flag_has_its_effect(tmp_path, program, case):
    found = Scenario(Servers(lambda: tmp_path), program).differences(case.data["steps"])
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_a_config_file_that_does_not_parse_is_logged_with_its_place(tmp_path):
    setup = {
        "flags": ["--port=<GRPC>", "--model_config_file=<BASE>/c"],
        "files": {"c": "model_config_list {\n  nam: 1\n}\n"},
    }
    with Server(OURS, setup, tmp_path) as server:
        assert server.ends_within(30)
        stderr = (tmp_path / "stderr").read_text()
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 2:3: " in stderr


@pytest.mark.parametrize(("precision", "is_known"), [("bfloat16", True), ("", True), ("float16", False)])
def test_a_mixed_precision_that_is_not_known_is_logged(caplog, precision, is_known):
    with caplog.at_level(logging.WARNING):
        server_options(Flags(model_base_path="/m", mixed_precision=precision))
    assert ("mixed_precision" in caplog.text) is not is_known


def test_alts_is_refused():
    with pytest.raises(StatusError, match="ssl_config_file") as caught:
        server_options(Flags(model_base_path="/m", use_alts_credentials=True))
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("flags", "config"),
    [
        ({}, {"device_count": {"GPU": 0}}),
        ({"per_process_gpu_memory_fraction": 0.5}, {"gpu_options": {"per_process_gpu_memory_fraction": 0.5}}),
        (
            {"tensorflow_session_parallelism": 3},
            {
                "intra_op_parallelism_threads": 3,
                "inter_op_parallelism_threads": 3,
                "device_count": {"GPU": 0},
            },
        ),
        (
            {"tensorflow_session_parallelism": 3, "tensorflow_inter_op_parallelism": 2},
            {
                "intra_op_parallelism_threads": 3,
                "inter_op_parallelism_threads": 2,
                "device_count": {"GPU": 0},
            },
        ),
    ],
)
def test_the_session_of_the_flags(flags, config):
    from runtimes.tensorflow_protos import import_proto

    kind = import_proto("tensorflow.core.protobuf.config_pb2").ConfigProto
    options = server_options(Flags(model_base_path="/m", **flags))
    assert kind.FromString(options.load.session_config) == kind(**config)
