"""Axes that are fixed before the conversion."""

import onnx
import onnx_ir as ir
import pytest

from contract.errors import UsageError

pytestmark = pytest.mark.slow

TEXT = """<ir_version: 8, opset_import: ["" : 18]>
net (float[batch, width, 3] image, float[batch, ?] more) => (float[batch, width, 3] y) { y = Identity (image) }"""


@pytest.fixture
def axes():
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline.onnx_to_tf import static_axes

    return static_axes


@pytest.fixture
def model() -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(TEXT))


def shapes(model: ir.Model) -> list[list[int | str | None]]:
    values = (*model.graph.inputs, *model.graph.outputs)
    return [[axis if isinstance(axis, int) else axis.value for axis in value.shape or ()] for value in values]


def test_an_axis_is_fixed_wherever_its_name_stands(model, axes):
    axes.fix_axes(model, {"batch": 2})
    assert shapes(model) == [[2, "width", 3], [2, None], [2, "width", 3]]


def test_an_axis_without_a_name_is_fixed_by_its_place(model, axes):
    axes.fix_axes(model, {"more:1": 5, "image:0": 4})
    assert shapes(model) == [[4, "width", 3], ["batch", 5], ["batch", "width", 3]]


@pytest.mark.parametrize("name", ["bach", "image:2", "image:7", "nothing:0", "more:x", ""])
def test_an_axis_that_is_not_there_lists_those_that_are(model, name, axes):
    with pytest.raises(UsageError, match="the dynamic axes are batch, width, more:1"):
        axes.fix_axes(model, {name: 1})
