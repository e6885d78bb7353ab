"""``--platform_config_file``: what it says of SavedModels takes the place of the flags.

Source: platform_config.proto and saved_model_bundle_source_adapter.proto of TensorFlow Serving.
"""

from dataclasses import replace

from contract.errors import Code, StatusError
from runtimes.tensorflow_protos import import_proto
from serving import config_protos
from serving.batching.parameters import BatchingParameters
from serving.loading import LoadOptions
from serving.text_config import read_text_proto

__all__ = ["apply_platform_config"]

_PLATFORM = "tensorflow"


def apply_platform_config(path: str, options: LoadOptions) -> LoadOptions:
    """Options as a text ``PlatformConfigMap`` has them; batching, session and tags of the flags have no effect.

    Raises:
        StatusError: the file cannot be read, or does not say how SavedModels are loaded.
    """
    # Registers the message that the file's Any holds.
    adapter_config = config_protos.saved_model_bundle_source_adapter_config()
    kind = import_proto("tensorflow_serving.config.platform_config_pb2").PlatformConfigMap
    platforms = read_text_proto(path, kind).platform_configs
    adapter = adapter_config()
    if _PLATFORM not in platforms or not platforms[_PLATFORM].source_adapter_config.Unpack(adapter):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"{path}: platform_configs has no entry {_PLATFORM!r} with a {adapter.DESCRIPTOR.full_name}",
        )
    config = adapter.legacy_config
    has_batching = config.HasField("batching_parameters")
    return replace(
        options,
        tags=list(config.saved_model_tags) or ("serve",),
        session_config=config.session_config.SerializeToString(),
        batching=BatchingParameters.from_proto(config.batching_parameters) if has_batching else None,
        has_own_batching=False,
        warms_up=config.enable_model_warmup,
    )
