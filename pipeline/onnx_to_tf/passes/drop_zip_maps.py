"""Gives probabilities as a tensor instead of as maps."""

import json

import onnx_ir as ir

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["LABELS", "DropZipMaps", "zip_maps"]

LABELS = "class_labels"
"""In the metadata of an output that was a ZipMap's: its labels, a JSON list in the order of the columns."""

_OPSET = 13
"""For Identity, where a model of operators of ai.onnx.ml alone imports none of ONNX's own."""


class DropZipMaps(GraphPass):
    """Replaces a ZipMap that feeds an output of the model by the tensor that feeds the ZipMap.

    A signature gives tensors, and a ZipMap, which skl2onnx puts behind each classifier, gives a map for each row: from
    each class label to its value. The output keeps its name, and becomes float32 [rows, classes]; which column is which
    class stands in its documentation and, as `LABELS`, in its metadata.

    1. A ZipMap whose result is an output, or nobody's: replaced. 2. One whose result nodes take: refused, for no
    tensor stands for it there. 3. A model without: left.
    """

    def requires(self, model: ir.Model) -> None:
        """As in `GraphPass`, and no node takes the maps of a ZipMap."""
        super().requires(model)
        for node in model.graph.all_nodes():
            if _is_zip_map(node) and (users := node.outputs[0].consumers()):
                raise ir.passes.PreconditionError(
                    f"ZipMap {node.name!r} gives maps to {users[0].op_type} {users[0].name!r}, and no tensor "
                    f"is one; let that take {node.inputs[0].name if node.inputs[0] else ''!r}, the tensor behind them"
                )

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        found = [node for node in model.graph.all_nodes() if _is_zip_map(node)]
        outputs = zip_maps(model)
        for node in found:
            value = node.outputs[0]
            node.domain, node.op_type = "", "Identity"
            node.attributes.clear()
            value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), None
            if value.name in outputs:
                labels = outputs[value.name]
                value.doc_string = f"one column for each class: {', '.join(map(str, labels))}"
                value.metadata_props[LABELS] = json.dumps(labels)
        if found and not {"", "ai.onnx"} & set(model.opset_imports):
            model.opset_imports[""] = _OPSET
        return bool(found)

    def ensures(self, model: ir.Model) -> None:
        """As in `GraphPass`, and no output is a ZipMap's."""
        super().ensures(model)
        if left := zip_maps(model):
            raise ir.passes.PostconditionError(f"outputs that are still a ZipMap's: {', '.join(left)}")


def zip_maps(model: ir.Model) -> dict[str, list[int] | list[str]]:
    """The outputs that are a ZipMap's, by name, each with its labels in the order of the columns."""
    return {
        value.name: _labels(node)
        for value in model.graph.outputs
        if value.name and (node := value.producer()) is not None and _is_zip_map(node)
    }


def _is_zip_map(node: ir.Node) -> bool:
    return (node.op_type, node.domain) == ("ZipMap", "ai.onnx.ml")


def _labels(node: ir.Node) -> list[int] | list[str]:
    texts, integers = node.attributes.get("classlabels_strings"), node.attributes.get("classlabels_int64s")
    return list(texts.as_strings()) if texts is not None else list(integers.as_ints()) if integers is not None else []
