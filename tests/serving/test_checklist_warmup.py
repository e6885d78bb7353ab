"""Warm-up records of each kind, good and bad."""

import struct
from typing import Any

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.crc32c import masked_crc32c
from serving.flags import Flags
from serving.handlers.settings import Settings
from serving.options import server_options
from serving.servable import Signature
from serving.warmup import warm_up

INPUT = protos.input_.Input()
INPUT.example_list.examples.add()


class Model:
    """Counts its runs; each gives one float for each row."""

    def __init__(self):
        self.fetched = []
        self.signatures = {}
        for name, alias, output in (
            ("serving_default", "x", "y"),
            ("classify", "inputs", "scores"),
            ("regress", "inputs", "outputs"),
        ):
            definition = protos.meta_graph.SignatureDef(method_name=f"tensorflow/serving/{name}")
            definition.inputs[alias].name, definition.outputs[output].name = alias, output
            self.signatures[name] = Signature(definition)

    def run(self, _feeds, inputs, fetches, _timeout):
        self.fetched += fetches
        return [Tensor(DataType.FLOAT, np.zeros((len(inputs[0].array), 1), np.float32)) for _ in fetches]


def predict_log():
    log = protos.prediction_log.PredictionLog()
    log.predict_log.request.model_spec.name = "another"
    log.predict_log.request.inputs["x"].dtype = DataType.FLOAT
    log.predict_log.request.inputs["x"].tensor_shape.dim.add(size=1)
    return log


def classify_log():
    log = protos.prediction_log.PredictionLog()
    log.classify_log.request.model_spec.name = "another"
    log.classify_log.request.model_spec.version.value = 77
    log.classify_log.request.model_spec.signature_name = "classify"
    log.classify_log.request.input.CopyFrom(INPUT)
    return log


def regress_log():
    log = protos.prediction_log.PredictionLog()
    log.regress_log.request.model_spec.name = "another"
    log.regress_log.request.model_spec.signature_name = "regress"
    log.regress_log.request.input.CopyFrom(INPUT)
    return log


def multi_inference_log():
    log = protos.prediction_log.PredictionLog()
    task = log.multi_inference_log.request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name, task.model_spec.signature_name = "another", "regress"
    log.multi_inference_log.request.input.CopyFrom(INPUT)
    return log


def session_run_log():
    log = protos.prediction_log.PredictionLog()
    log.session_run_log.SetInParent()
    return log


def predict_streamed_log():
    log = protos.prediction_log.PredictionLog()
    log.predict_streamed_log.SetInParent()
    return log


def framed(data):
    """A record of a TFRecord file."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))


@pytest.fixture
def replay(tmp_path):
    """Writes records, or what is no such file, and replays them: number of records, and what the model was asked."""
    (tmp_path / "assets.extra").mkdir()

    def run(*records, data=None, iterations=1):
        if data is None:
            data = b"".join(framed(record.SerializeToString()) for record in records)
        (tmp_path / "assets.extra/tf_serving_warmup_requests").write_bytes(data)
        model: Any = Model()
        return warm_up(model, tmp_path, 1, Settings(), iterations), model.fetched

    return run


def test_records_of_each_kind_are_replayed_whatever_model_they_name(replay):
    records = [predict_log(), classify_log(), regress_log(), multi_inference_log()]
    assert replay(*records) == (4, ["y", "scores", "outputs", "outputs"])


def test_each_record_is_replayed_as_often_as_told(replay):
    assert replay(predict_log(), regress_log(), iterations=3) == (2, ["y"] * 3 + ["outputs"] * 3)


@pytest.mark.parametrize(("flag", "iterations"), [(0, 1), (1, 1), (3, 3)])
def test_the_flag_says_how_often(flag, iterations):
    options = server_options(Flags(model_base_path="/m", num_request_iterations_for_warmup=flag))
    assert options.load.warm_up_iterations == iterations


@pytest.mark.parametrize("log", [session_run_log, predict_streamed_log])
def test_kinds_that_are_not_replayed(replay, log):
    with pytest.raises(StatusError) as caught:
        replay(log())
    assert caught.value.code is Code.UNIMPLEMENTED


def test_more_than_a_thousand_records(replay):
    assert replay(*[predict_log()] * 1000)[0] == 1000
    with pytest.raises(StatusError, match=r"Number of warmup records exceeds the maximum \(1000\) at ") as caught:
        replay(*[predict_log()] * 1001)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("data", [b"no TFRecord at all", b"short", framed(b"")[:-2], framed(b"") + framed(b"y")[:14]])
def test_what_is_no_tfrecord_file(replay, data):
    with pytest.raises(StatusError, match=r"Please verify your warmup data is in TFRecord format\."):
        replay(data=data)


def test_a_record_that_is_no_log(replay):
    with pytest.raises(StatusError, match="Failed to parse warmup record") as caught:
        replay(data=framed(b"\xff\xff"))
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_version_without_records(tmp_path):
    model: Any = Model()
    assert warm_up(model, tmp_path, 1, Settings(), 1) == 0
