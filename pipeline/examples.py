"""Calls as tf.Example, which classify and regress signatures take."""

from contract.arrays import Array, Tensors
from runtimes.tensorflow_protos import import_proto

__all__ = ["serialized_examples"]


def serialized_examples(inputs: Tensors) -> list[bytes]:
    """One serialized tf.Example for each row of the inputs, with a feature for each input tensor.

    Args:
        inputs: tensors of one first axis; floats become float_list, integers and booleans int64_list, objects (bytes)
            bytes_list.
    """
    example_pb2 = import_proto("tensorflow.core.example.example_pb2")
    rows = len(next(iter(inputs.values())))
    serialized = []
    for row in range(rows):
        example = example_pb2.Example()
        for name, values in inputs.items():
            _fill(example.features.feature[name], values[row])
        serialized.append(example.SerializeToString(deterministic=True))
    return serialized


def _fill(feature, values: Array) -> None:  # type: ignore[no-untyped-def]
    flat = values.ravel().tolist()
    if values.dtype.kind == "f":
        feature.float_list.value.extend(flat)
    elif values.dtype.kind in "iub":
        feature.int64_list.value.extend(map(int, flat))
    else:
        feature.bytes_list.value.extend(flat)
