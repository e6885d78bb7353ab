"""ONNX to plain TensorFlow, operator by operator.

``convert(model, folder)`` does it all; `to_module` gives a ``tf.Module`` to train or to embed; `Family.register`
adds an operator; `coverage` tells which there are. Importing this imports TensorFlow.
"""

from pipeline.onnx_to_tf.bisect import Difference, first_difference
from pipeline.onnx_to_tf.convert import Conversion, Options, convert, to_module
from pipeline.onnx_to_tf.coverage import Coverage, coverage
from pipeline.onnx_to_tf.module import OnnxModule, save
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family, Registry
from pipeline.onnx_to_tf.user_operators import UserOperators, load_operators
from pipeline.onnx_to_tf.verify import Parts, Verification

__all__ = [
    "Conversion",
    "Coverage",
    "Difference",
    "Family",
    "Node",
    "OnnxModule",
    "Options",
    "Parts",
    "Registry",
    "UserOperators",
    "Verification",
    "convert",
    "coverage",
    "first_difference",
    "load_operators",
    "save",
    "to_module",
]
