"""The table of operators, held against ONNX's changelog."""

import onnx
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tool():
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline import onnx_to_tf

    return onnx_to_tf


def test_every_operator_of_onnx_has_a_row(tool):
    wanted = {(schema.domain or "ai.onnx", schema.name) for schema in onnx.defs.get_all_schemas()}
    rows = {(row.domain, row.op_type) for row in tool.coverage().rows}
    assert wanted <= rows


def test_a_version_is_converted_or_expanded_or_missing(tool):
    for row in tool.coverage().rows:
        parts = [*row.converted, *row.expanded, *row.missing]
        assert len(parts) == len(set(parts)), row
        assert bool(row.converted) == bool(row.family), row


def test_a_registry_of_ones_own_is_listed(tool):
    family = tool.Family("Mine")

    @family.register("Relu", 6, 13)
    @family.register("Spin", domain="mine")
    def anything(node, x):
        return x

    rows = {(row.domain, row.op_type): row for row in tool.coverage(tool.Registry([family])).rows}
    assert rows["ai.onnx", "Relu"].converted == (6, 13)
    assert rows["ai.onnx", "Relu"].family == "Mine"
    assert 14 in (*rows["ai.onnx", "Relu"].missing, *rows["ai.onnx", "Relu"].expanded)
    assert rows["mine", "Spin"].converted == (1,)
    assert rows["ai.onnx", "Conv"].missing == (1, 11, 22)
    # ONNX has withdrawn version 10.
    assert 10 not in rows["ai.onnx", "Upsample"].missing


def test_a_function_of_onnx_is_expanded(tool):
    rows = {row.op_type: row for row in tool.coverage(tool.Registry([])).rows}
    assert rows["Gelu"].expanded == (20,)
    assert rows["Gelu"].is_known
    assert not rows["Conv"].is_known
