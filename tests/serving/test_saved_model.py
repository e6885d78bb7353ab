"""Which graphs a server may run between two requests."""

from pathlib import Path

import pytest

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


@pytest.mark.slow  # TensorFlow's libraries
@pytest.mark.parametrize(("model", "is_predictable"), [("half_plus_two", True), ("slow", False)])
def test_a_graph_is_quick_once_its_runs_have_been(model, is_predictable):
    servable = SavedModelServable(MODELS / model / "1", tags=["serve"], config=b"")
    assert servable.is_predictable is is_predictable
    signature = servable.signatures["serving_default"]
    assert not servable.is_quick(signature.feeds, signature.fetches)
    servable.close()
