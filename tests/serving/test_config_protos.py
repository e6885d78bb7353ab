"""Protos built at run time, against the wire numbers of TF Serving's .proto files."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool, text_format

from runtimes.tensorflow_protos import import_proto
from serving import config_protos

FIELDS = {
    config_protos.batching_parameters: {
        "max_batch_size": (1, "google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, "google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, "google.protobuf.Int64Value"),
        "num_batch_threads": (4, "google.protobuf.Int64Value"),
        "thread_pool_name": (5, "google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue"),
        "max_execution_batch_size": (9, "google.protobuf.Int64Value"),
    },
    config_protos.ssl_config: {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
    config_protos.monitoring_config: {"prometheus_config": (1, "tensorflow.serving.PrometheusConfig")},
    config_protos.thread_pool_factory_config: {"thread_pool_factory_config": (1, "google.protobuf.Any")},
    config_protos.saved_model_bundle_source_adapter_config: {
        "legacy_config": (1000, "tensorflow.serving.SessionBundleConfig")
    },
    config_protos.session_bundle_config: {
        "session_target": (1, "string"),
        "session_config": (2, "tensorflow.ConfigProto"),
        "batching_parameters": (3, "tensorflow.serving.BatchingParameters"),
        "session_run_load_threadpool_index": (4, "google.protobuf.Int32Value"),
        "experimental_transient_ram_bytes_during_load": (5, "uint64"),
        "saved_model_tags": (6, "repeated string"),
        "experimental_fixed_input_tensors": (778, "repeated tensorflow.NamedTensorProto"),
        "enable_model_warmup": (779, "bool"),
        "model_warmup_options": (780, "tensorflow.serving.ModelWarmupOptions"),
        "enable_session_metadata": (781, "bool"),
        "remove_unused_fields_from_bundle_metagraph": (782, "bool"),
        "prefer_tflite_model": (783, "bool"),
        "resource_estimation_uses_validation_result": (784, "bool"),
        "num_tflite_interpreters": (785, "int32"),
        "num_tflite_interpreters_per_pool": (786, "int32"),
        "num_tflite_pools": (787, "int32"),
        "wrap_session_with_no_threading_params": (788, "bool"),
        "enable_per_model_batching_params": (789, "bool"),
        "enable_saved_model_config": (790, "bool"),
    },
}

SCALARS = {4: "uint64", 3: "int64", 5: "int32", 8: "bool", 9: "string"}  # FieldDescriptor.TYPE_*


def written(field):
    kind = field.message_type.full_name if field.message_type else SCALARS[field.type]
    return f"repeated {kind}" if field.is_repeated else kind


@pytest.mark.parametrize("get", FIELDS, ids=lambda get: get.__name__)
def test_fields_have_the_numbers_and_types_of_the_proto_files(get):
    descriptor = get().DESCRIPTOR
    assert {field.name: (field.number, written(field)) for field in descriptor.fields} == FIELDS[get]
    assert descriptor.full_name == "tensorflow.serving." + descriptor.name
    assert descriptor.name.lower() == get.__name__.replace("_", "")


def test_a_type_is_built_once_and_registered_for_all():
    assert config_protos.ssl_config() is config_protos.ssl_config()
    found = descriptor_pool.Default().FindMessageTypeByName("tensorflow.serving.SSLConfig")
    assert found is config_protos.ssl_config().DESCRIPTOR


def test_a_message_goes_over_the_wire():
    message = config_protos.batching_parameters()(allowed_batch_sizes=[4, 8], pad_variable_length_inputs=True)
    message.max_batch_size.value = 8
    assert message.SerializeToString() == b"\x0a\x02\x08\x08\x32\x02\x04\x08\x38\x01"  # repeated numbers are packed


def test_a_platform_config_names_the_source_adapter_config():
    config_protos.saved_model_bundle_source_adapter_config()
    text = """
        platform_configs { key: "tensorflow" value { source_adapter_config {
          [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
            legacy_config { saved_model_tags: "serve" session_config { intra_op_parallelism_threads: 2 } }
          } } } }
    """
    read = text_format.Parse(text, import_proto("tensorflow_serving.config.platform_config_pb2").PlatformConfigMap())
    adapter = config_protos.saved_model_bundle_source_adapter_config()()
    assert read.platform_configs["tensorflow"].source_adapter_config.Unpack(adapter)
    assert adapter.legacy_config.session_config.intra_op_parallelism_threads == 2


def test_a_type_that_another_package_registered_is_used():
    code = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="other/ssl.proto", package="tensorflow.serving", syntax="proto3")
file.message_type.add(name="SSLConfig").field.add(name="theirs", number=1, type=9, label=1)
descriptor_pool.Default().Add(file)
from serving import config_protos
assert [field.name for field in config_protos.ssl_config().DESCRIPTOR.fields] == ["theirs"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensorflow_is_not_imported():
    code = """
import sys
from serving import config_protos
config_protos.session_bundle_config()
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
