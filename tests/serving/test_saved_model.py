"""Which graphs a server may run between two requests."""

from pathlib import Path

import numpy as np
import pytest

from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.saved_model import SavedModelServable, _is_predictable

MODELS = Path(__file__).parents[1] / "golden/tf_serving/models"


def graph(*operations, within=()):
    """A ``GraphDef`` of operations, and of a function with others."""
    definition = protos.meta_graph.MetaGraphDef().graph_def
    for operation in operations:
        definition.node.add(op=operation)
    if within:
        function = definition.library.function.add()
        for operation in within:
            function.node_def.add(op=operation)
    return definition


def test_a_graph_of_arithmetic_is_predictable():
    assert _is_predictable(graph("Placeholder", "MatMul", "BatchMatMulV2", "SpaceToBatchND", within=["Sigmoid"]))


@pytest.mark.parametrize(
    "operation", ["While", "StatelessIf", "Enter", "MapDataset", "IteratorGetNext", "QueueDequeueV2", "BatchFunction"]
)
def test_what_depends_on_values_or_on_others_is_not(operation):
    assert not _is_predictable(graph("MatMul", operation))
    assert not _is_predictable(graph("PartitionedCall", within=["MatMul", operation]))


@pytest.fixture
def load():
    loaded = []

    def one(model):
        loaded.append(SavedModelServable(MODELS / model / "1", tags=["serve"], config=b""))
        return loaded[-1], loaded[-1].signatures["serving_default"]

    yield one
    for servable in loaded:
        servable.close()


@pytest.mark.slow  # TensorFlow's libraries
def test_a_predictable_graph_is_quick_once_a_run_has_been(load):
    servable, signature = load("half_plus_two")
    assert servable.is_predictable
    assert not servable.is_quick(signature.feeds, signature.fetches)
    inputs = [Tensor(DataType.FLOAT, np.ones(1, np.float32))]
    for _ in range(1000):  # the first runs prepare the graph, and any may be interrupted
        servable.run(signature.feeds, inputs, signature.fetches, None)
        if servable.is_quick(signature.feeds, signature.fetches):
            return
    pytest.fail("of a thousand runs of three operations none was quick")


@pytest.mark.slow  # TensorFlow's libraries
def test_a_graph_whose_time_depends_on_its_values_never_is(load):
    servable, signature = load("slow")
    assert not servable.is_predictable
    for _ in range(10):
        servable.run(signature.feeds, [Tensor(DataType.INT64, np.ones(1, np.int64))], signature.fetches, None)
        assert not servable.is_quick(signature.feeds, signature.fetches)
