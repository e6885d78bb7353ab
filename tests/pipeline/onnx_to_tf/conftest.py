"""What the tests of the converter share."""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Arrays = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="session")
def frozen_imports() -> None:
    """TensorFlow Lite's converter collects garbage each time: here without going through all that was imported."""
    import tensorflow as tf

    # TensorFlow imports them when they are first asked for.
    assert tf.lite.TFLiteConverter
    assert tf.saved_model.load
    gc.collect()
    gc.freeze()


@pytest.fixture
def check(tmp_path: Path, frozen_imports: None) -> Callable[..., dict[str, NDArray[Any]]]:
    """Converts a model, loads the SavedModel again, and holds its answers against ONNX Runtime's.

    ``check(model, *calls, reference=False, tflite=False, rtol=1e-5, atol=1e-6)``: the model is a `ModelProto` or the
    text of one for `onnx.parser`; each call is a dict of inputs by name. ``reference``: hold it against onnx's
    reference evaluator instead (for what ONNX Runtime lacks).
    ``tflite``: also convert to TFLite with built-in operators alone and run that. Returns the outputs of the last call.
    """

    def checked(
        model: onnx.ModelProto | str,
        *calls: Arrays,
        reference: bool = False,
        tflite: bool = False,
        rtol: float = 1e-5,
        atol: float = 1e-6,
    ) -> dict[str, NDArray[Any]]:
        import tensorflow as tf
        from ai_edge_litert.interpreter import Interpreter

        from pipeline.to_tensorflow.with_showdown import convert

        proto = onnx.parser.parse_model(model) if isinstance(model, str) else model
        names = [value.name for value in proto.graph.output]
        expected = [_expected(proto, call, reference=reference) for call in calls]
        folder = tmp_path / "saved_model"
        convert(proto, folder)
        loaded = tf.saved_model.load(str(folder))
        signature = loaded.signatures["serving_default"]
        given: dict[str, NDArray[Any]] = {}
        for call, wanted in zip(calls, expected, strict=True):
            outputs = signature(**{name: tf.constant(array) for name, array in call.items()})
            # A text without axes comes as bytes.
            texts = [name for name in names if outputs[name].dtype == tf.string]
            given = {n: np.asarray(outputs[n].numpy(), dtype=object if n in texts else None) for n in names}
            _compare(names, wanted, given, rtol, atol)
        if tflite:
            content = tf.lite.TFLiteConverter.from_saved_model(
                str(folder), signature_keys=["serving_default"]
            ).convert()
            runner = Interpreter(model_content=content).get_signature_runner("serving_default")
            for call, wanted in zip(calls, expected, strict=True):
                _compare(names, wanted, runner(**call), max(rtol, 1e-4), max(atol, 1e-5))
        return given

    return checked


def _expected(model: onnx.ModelProto, call: Arrays, *, reference: bool) -> list[NDArray[Any]]:
    if reference:
        return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, dict(call))]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, dict(call))]


def _compare(names: list[str], wanted: list[NDArray[Any]], given: Arrays, rtol: float, atol: float) -> None:
    for name, array in zip(names, wanted, strict=True):
        assert given[name].shape == array.shape, name
        assert given[name].dtype == array.dtype, name
        if array.dtype == object:
            assert [x.encode() if isinstance(x, str) else x for x in array.ravel()] == list(given[name].ravel()), name
        else:
            np.testing.assert_allclose(given[name], array, rtol=rtol, atol=atol, err_msg=name)
