"""Configuration protos of TensorFlow Serving that the package ``tensorflow-serving-api`` leaves out.

They are built when first asked for, from the declarations below: full names, field names, numbers and types are those
of TF Serving's ``.proto`` files, which the keys name. Where another package has registered them, its types are used.
"""

import functools
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from runtimes.tensorflow_protos import import_proto

__all__ = [
    "batching_parameters",
    "monitoring_config",
    "saved_model_bundle_source_adapter_config",
    "session_bundle_config",
    "ssl_config",
    "thread_pool_factory_config",
]

_PACKAGE = "tensorflow.serving"

_SESSION_BUNDLE = "tensorflow_serving/servables/tensorflow/session_bundle_config.proto"

_IMPORTS: dict[str, tuple[str, ...]] = {
    _SESSION_BUNDLE: (
        wrappers_pb2.DESCRIPTOR.name,
        "tensorflow/core/protobuf/config.proto",
        "tensorflow/core/protobuf/named_tensor.proto",
    ),
    "tensorflow_serving/servables/tensorflow/saved_model_bundle_source_adapter.proto": (_SESSION_BUNDLE,),
    "tensorflow_serving/servables/tensorflow/thread_pool_factory_config.proto": (any_pb2.DESCRIPTOR.name,),
    "tensorflow_serving/config/monitoring_config.proto": (),
    "tensorflow_serving/config/ssl_config.proto": (),
}
"""File -> files it imports."""

_MESSAGES: dict[str, dict[str, tuple[str, ...]]] = {
    _SESSION_BUNDLE: {
        "ModelWarmupOptions": (
            "google.protobuf.Int32Value num_request_iterations = 1",
            "google.protobuf.Int32Value num_model_warmup_threads = 2",
            "string model_name = 3",
            "int64 model_version = 4",
            "bool enable_all_batch_sizes_warmup = 5",
        ),
        "SessionBundleConfig": (
            "string session_target = 1",
            "tensorflow.ConfigProto session_config = 2",
            "tensorflow.serving.BatchingParameters batching_parameters = 3",
            "google.protobuf.Int32Value session_run_load_threadpool_index = 4",
            "uint64 experimental_transient_ram_bytes_during_load = 5",
            "repeated string saved_model_tags = 6",
            "repeated tensorflow.NamedTensorProto experimental_fixed_input_tensors = 778",
            "bool enable_model_warmup = 779",
            "tensorflow.serving.ModelWarmupOptions model_warmup_options = 780",
            "bool enable_session_metadata = 781",
            "bool remove_unused_fields_from_bundle_metagraph = 782",
            "bool prefer_tflite_model = 783",
            "bool resource_estimation_uses_validation_result = 784",
            "int32 num_tflite_interpreters = 785",
            "int32 num_tflite_interpreters_per_pool = 786",
            "int32 num_tflite_pools = 787",
            "bool wrap_session_with_no_threading_params = 788",
            "bool enable_per_model_batching_params = 789",
            "bool enable_saved_model_config = 790",
        ),
        "BatchingParameters": (
            "google.protobuf.Int64Value max_batch_size = 1",
            "google.protobuf.Int64Value batch_timeout_micros = 2",
            "google.protobuf.Int64Value max_enqueued_batches = 3",
            "google.protobuf.Int64Value num_batch_threads = 4",
            "google.protobuf.StringValue thread_pool_name = 5",
            "repeated int64 allowed_batch_sizes = 6",
            "bool pad_variable_length_inputs = 7",
            "google.protobuf.BoolValue enable_large_batch_splitting = 8",
            "google.protobuf.Int64Value max_execution_batch_size = 9",
        ),
    },
    "tensorflow_serving/servables/tensorflow/saved_model_bundle_source_adapter.proto": {
        "SavedModelBundleSourceAdapterConfig": ("tensorflow.serving.SessionBundleConfig legacy_config = 1000",),
    },
    "tensorflow_serving/servables/tensorflow/thread_pool_factory_config.proto": {
        "ThreadPoolFactoryConfig": ("google.protobuf.Any thread_pool_factory_config = 1",),
    },
    "tensorflow_serving/config/monitoring_config.proto": {
        "PrometheusConfig": ("bool enable = 1", "string path = 2"),
        "MonitoringConfig": ("tensorflow.serving.PrometheusConfig prometheus_config = 1",),
    },
    "tensorflow_serving/config/ssl_config.proto": {
        "SSLConfig": (
            "string server_key = 1",
            "string server_cert = 2",
            "string custom_ca = 3",
            "bool client_verify = 4",
        ),
    },
}
"""File -> message -> its fields, as they stand in the file."""


def batching_parameters() -> type[Any]:
    """``tensorflow.serving.BatchingParameters``: ``--batching_parameters_file`` and ``batching_params.pbtxt``."""
    return _message("BatchingParameters")


def session_bundle_config() -> type[Any]:
    """``tensorflow.serving.SessionBundleConfig``: how SavedModels are loaded and run."""
    return _message("SessionBundleConfig")


def saved_model_bundle_source_adapter_config() -> type[Any]:
    """``tensorflow.serving.SavedModelBundleSourceAdapterConfig``: the ``Any`` in ``--platform_config_file``.

    Ask for it before such a file is read: a text ``Any`` can only name types that are registered.
    """
    return _message("SavedModelBundleSourceAdapterConfig")


def thread_pool_factory_config() -> type[Any]:
    """``tensorflow.serving.ThreadPoolFactoryConfig``: ``--thread_pool_factory_config_file``."""
    return _message("ThreadPoolFactoryConfig")


def monitoring_config() -> type[Any]:
    """``tensorflow.serving.MonitoringConfig``: ``--monitoring_config_file``."""
    return _message("MonitoringConfig")


def ssl_config() -> type[Any]:
    """``tensorflow.serving.SSLConfig``: ``--ssl_config_file``; keys and certificates are PEM text, not paths."""
    return _message("SSLConfig")


@functools.cache
def _message(name: str) -> type[Any]:
    (file,) = (file for file, messages in _MESSAGES.items() if name in messages)
    _register(file)
    descriptor = descriptor_pool.Default().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    message: type[Any] = message_factory.GetMessageClass(descriptor)
    return message


def _register(file: str) -> None:
    """Adds a file to the default pool, after what it imports, unless the pool has its messages already."""
    pool = descriptor_pool.Default()
    try:
        for name in _MESSAGES[file]:
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    except KeyError:
        pass
    else:
        return
    declared = descriptor_pb2.FileDescriptorProto(
        name=file, package=_PACKAGE, syntax="proto3", dependency=_IMPORTS[file]
    )
    for imported in _IMPORTS[file]:
        if imported in _MESSAGES:
            _register(imported)
        elif imported.startswith("tensorflow/"):
            import_proto(imported.removesuffix(".proto").replace("/", ".") + "_pb2")
    for name, lines in _MESSAGES[file].items():
        declared.message_type.add(name=name, field=map(_field, lines))
    pool.Add(declared)


def _field(line: str) -> Any:
    *repeated, kind, name, _, number = line.split()
    declared = descriptor_pb2.FieldDescriptorProto(name=name, number=int(number))
    declared.label = declared.LABEL_REPEATED if repeated else declared.LABEL_OPTIONAL
    if "." in kind:
        declared.type = declared.TYPE_MESSAGE
        declared.type_name = f".{kind}"
    else:
        declared.type = getattr(declared, f"TYPE_{kind.upper()}")
    return declared
