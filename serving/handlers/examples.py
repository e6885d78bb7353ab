"""``Input`` to a tensor of serialized ``tf.Example``.

Source: InputToSerializedExampleTensor of tensorflow_serving/servables/tensorflow/util.cc.
"""

from typing import Any

import numpy as np

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving.metrics import ServerMetrics

__all__ = ["serialized_examples"]


def serialized_examples(message: Any, model: str, metrics: ServerMetrics) -> Tensor:
    """The examples of an ``Input``, the context put before each.

    Args:
        message: the ``Input``.
        model: its name, for the metrics.
        metrics: where the examples are counted.

    Returns:
        Strings of shape [number of examples].

    Raises:
        StatusError: INVALID_ARGUMENT, there is none.
    """
    if message.WhichOneof("kind") == "example_list_with_context":
        some = message.example_list_with_context
        # Serialized messages one after the other are the merged message.
        context = some.context.SerializeToString()
        examples = [context + example.SerializeToString() for example in some.examples]
    else:
        examples = [example.SerializeToString() for example in message.example_list.examples]
    if not examples:
        raise StatusError(Code.INVALID_ARGUMENT, "Input is empty.")
    metrics.request_example_counts.record((model,), len(examples))
    metrics.request_example_count_total.add((model,), len(examples))
    array = np.empty(len(examples), object)
    array[:] = examples
    return Tensor(DataType.STRING, array)
