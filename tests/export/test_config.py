"""What an export can be asked for."""

import json

import pytest

from contract.errors import UsageError
from export.config import EXPORTERS, ExportConfig
from pipeline.to_tensorflow.converter import CONVERTERS


def test_defaults_are_possible():
    assert ExportConfig() == ExportConfig.from_dict({})


@pytest.mark.parametrize(
    "config",
    [
        ExportConfig(),
        *(ExportConfig(exporter=exporter) for exporter in EXPORTERS),
        *(ExportConfig(converter=converter) for converter in CONVERTERS),
        ExportConfig(seed=7, opset=18),
        ExportConfig(recipes=("float32", "int8")),
        ExportConfig(seed=2**40, opset=23),
    ],
    ids=str,
)
def test_round_trip(config):
    assert ExportConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_effective_configuration_has_every_setting():
    assert ExportConfig(opset=18).to_dict() == {
        "seed": 0,
        "exporter": "dynamo",
        "opset": 18,
        "converter": None,
        "recipes": None,
    }


def test_the_nearest_recipe_is_suggested():
    with pytest.raises(UsageError, match=r"no recipe 'int9'; did you mean 'int8'\?"):
        ExportConfig(recipes=("float32", "int9"))


def test_unknown_setting():
    with pytest.raises(UsageError, match=r"unknown settings: \['epochs', 'rate'\]"):
        ExportConfig.from_dict({"seed": 1, "rate": 0.1, "epochs": 3})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "the seed is -1; it has to be 0 or more"),
        ({"exporter": "tf2onnx"}, "no exporter 'tf2onnx'; there are: dynamo, torchscript"),
        ({"converter": "onnx2tf"}, "no converter 'onnx2tf'; there are: showdown, onnx-tf"),
        ({"opset": 17}, "opset 17 is too old; 18 is the oldest"),
        ({"opset": 0}, "opset 0 is too old; 18 is the oldest"),
        ({"opset": -18}, "opset -18 is too old; 18 is the oldest"),
    ],
)
def test_impossible_value(values, message):
    with pytest.raises(UsageError, match=message):
        ExportConfig(**values)
    with pytest.raises(UsageError, match=message):
        ExportConfig.from_dict(values)


@pytest.mark.parametrize("opset", [None, 18, 19, 23])
def test_possible_opset(opset):
    assert ExportConfig(opset=opset).opset == opset
