"""Classify and Regress: features by the type of their values, and results."""

import pytest

from contract.errors import StatusError
from runtimes.tensorflow_protos import import_proto
from serving.rest import examples_body
from serving.rest.json_reader import parse


def examples(body):
    return examples_body.examples(parse(body))


def test_kinds_of_features():
    body = b"""{"examples": [{"f": [1.5, NaN, 1e39, 1e-45], "i": [1, true, false, -5], "b": ["a", {"b64": "/+8="}],
               "none": [], "twice": 1, "twice": "last", "\xff": 1}]}"""
    feature = examples(body).example_list.examples[0].features.feature
    values = list(feature["f"].float_list.value)
    assert values[0] == 1.5
    assert values[1] != values[1]
    assert values[2:] == [float("inf"), 0]
    assert list(feature["i"].int64_list.value) == [1, 1, 0, -5]
    assert list(feature["b"].bytes_list.value) == [b"a", b"\xff\xef"]
    assert feature["none"].WhichOneof("kind") is None
    assert list(feature["twice"].bytes_list.value) == [b"last"]
    assert "\ufffd" in feature


def test_context():
    message = examples(b'{"context": {"x": 3.0}, "examples": [{}, {"n": 2}]}')
    assert len(message.example_list_with_context.examples) == 2
    assert message.example_list_with_context.context.features.feature["x"].float_list.value[0] == 3
    assert examples(b'{"context": {}, "examples": [{}]}').WhichOneof("kind") == "example_list_with_context"


def test_kind_of_object_is_checked_before_base64():
    with pytest.raises(StatusError, match="Unexpected element type in feature: n expecting type: float"):
        examples(b'{"examples": [{"n": [1.0, {"b64": "!"}]}]}')


def test_results():
    labels = [[(b'a"', 0.1)], []]
    assert examples_body.classifications(labels) == b'{\n    "results": [[["a\\"", 0.1]], []\n    ]\n}'
    assert examples_body.classifications([[(b"\xff", 1.0)]]) == b'{\n    "results": [[["\xff", 1.0]]\n    ]\n}'
    regression = import_proto("tensorflow_serving.apis.regression_pb2").RegressionResult()
    for value in (2.5, float("inf")):
        regression.regressions.add(value=value)
    assert examples_body.regressions(regression) == b'{\n    "results": [2.5, Infinity]\n}'
    for write, empty in (
        (examples_body.regressions, type(regression)()),
        (examples_body.classifications, []),
    ):
        with pytest.raises(StatusError, match="Cannot convert empty"):
            write(empty)
