"""Warm-up requests replayed on a fake servable, from records that the tests write themselves."""

import struct

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.crc32c import masked_crc32c
from serving.handlers.settings import Settings
from serving.servable import Signature
from serving.warmup import warm_up

FORMAT = "Please verify your warmup data is in TFRecord format."


class FakeServable:
    """Signatures for every call; notes what it runs."""

    def __init__(self, definitions):
        self.signatures = {name: Signature(definition) for name, definition in definitions.items()}
        self.runs = []
        self.error = None

    def run(self, feeds, inputs, fetches, timeout):
        self.runs.append((tuple(feeds), tuple(fetches), timeout))
        if self.error is not None:
            raise self.error
        rows = len(inputs[0].array)
        return [Tensor(DataType.FLOAT, np.zeros((rows, 1), np.float32)) for _ in fetches]

    def is_quick(self, feeds, fetches):
        return True

    def close(self):
        """Nothing to give back."""


def definition(inputs, outputs, method):
    message = protos.meta_graph.SignatureDef(method_name=method)
    for alias, dtype in inputs.items():
        message.inputs[alias].name, message.inputs[alias].dtype = f"{alias}:0", dtype
    for alias in outputs:
        message.outputs[alias].name, message.outputs[alias].dtype = f"{alias}:0", DataType.FLOAT
    return message


@pytest.fixture
def servable():
    return FakeServable(
        {
            "serving_default": definition({"x": DataType.FLOAT}, ["y"], "tensorflow/serving/predict"),
            "classify": definition({"inputs": DataType.STRING}, ["scores"], "tensorflow/serving/classify"),
            "regress": definition({"inputs": DataType.STRING}, ["outputs"], "tensorflow/serving/regress"),
        }
    )


def record(data):
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))


def predict_log(**spec):
    log = protos.prediction_log.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = spec.pop("name", "m")
    for key, value in spec.items():
        setattr(request.model_spec, key, value)
    request.inputs["x"].dtype = DataType.FLOAT
    request.inputs["x"].float_val.append(1)
    request.inputs["x"].tensor_shape.dim.add().size = 1
    return log


def with_examples(request, signature_name):
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.add()


@pytest.fixture
def warm(tmp_path, servable):
    """Writes a file of records into a version's folder and replays it."""

    def run(content, iterations=1):
        extra = tmp_path / "assets.extra"
        extra.mkdir()
        (extra / "tf_serving_warmup_requests").write_bytes(content)
        return warm_up(servable, tmp_path, 7, Settings(), iterations)

    return run


def refused(call):
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value.code, caught.value.message


def test_a_version_without_records(servable, tmp_path):
    assert warm_up(servable, tmp_path, 7, Settings(), 1) == 0
    (tmp_path / "assets.extra/tf_serving_warmup_requests").mkdir(parents=True)
    assert warm_up(servable, tmp_path, 7, Settings(), 1) == 0
    assert servable.runs == []


def test_an_empty_file_has_no_records(warm, servable):
    assert warm(b"") == 0
    assert servable.runs == []


@pytest.mark.parametrize("iterations", [1, 3])
def test_each_kind_of_call_is_replayed_in_its_order(warm, servable, iterations):
    classify, regress, multi = (protos.prediction_log.PredictionLog() for _ in range(3))
    with_examples(classify.classify_log.request, "classify")
    with_examples(regress.regress_log.request, "regress")
    multi.multi_inference_log.request.input.example_list.examples.add()
    for name in ("regress", "classify"):
        task = multi.multi_inference_log.request.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = "m", name
    logs = [predict_log(), classify, regress, multi]
    assert warm(b"".join(record(log.SerializeToString()) for log in logs), iterations) == 4
    runs = [
        (("x:0",), ("y:0",), None),
        (("inputs:0",), ("scores:0",), None),
        (("inputs:0",), ("outputs:0",), None),
        (("inputs:0",), ("outputs:0", "scores:0"), None),
    ]
    assert servable.runs == [run for run in runs for _ in range(iterations)]


def test_the_model_in_a_record_does_not_count(warm, servable):
    logs = [predict_log(name="other", version_label="gone")]
    assert warm(b"".join(record(log.SerializeToString()) for log in logs)) == 1
    assert len(servable.runs) == 1


def test_a_record_that_asks_nothing(warm, servable):
    assert warm(record(b"") * 2) == 2
    assert servable.runs == []


def test_as_many_records_as_are_allowed(warm, servable, tmp_path):
    data = record(predict_log().SerializeToString())
    assert warm(data * 1000) == 1000
    assert len(servable.runs) == 1000


def test_too_many_records(warm, servable, tmp_path):
    data = record(predict_log().SerializeToString())
    file = tmp_path / "assets.extra/tf_serving_warmup_requests"
    assert refused(lambda: warm(data * 1001)) == (
        Code.INVALID_ARGUMENT,
        f"Number of warmup records exceeds the maximum (1000) at {file}",
    )
    assert len(servable.runs) == 1000


def test_a_call_that_fails_ends_it(warm, servable):
    data = record(predict_log().SerializeToString())
    bad = record(predict_log(signature_name="nope").SerializeToString())
    assert refused(lambda: warm(data + bad + data)) == (
        Code.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    )
    assert len(servable.runs) == 1


def test_an_error_of_the_runtime_is_told(warm, servable):
    servable.error = StatusError(Code.RESOURCE_EXHAUSTED, "too large")
    assert refused(lambda: warm(record(predict_log().SerializeToString()))) == (Code.RESOURCE_EXHAUSTED, "too large")


def test_kinds_that_are_not_replayed(warm):
    log = protos.prediction_log.PredictionLog()
    log.session_run_log.SetInParent()
    assert refused(lambda: warm(record(log.SerializeToString()))) == (
        Code.UNIMPLEMENTED,
        "Unsupported log_type for warmup: session_run_log",
    )


def test_a_record_that_is_no_message(warm, tmp_path):
    assert refused(lambda: warm(record(b"\xffno"))) == (
        Code.INVALID_ARGUMENT,
        f"Failed to parse warmup record: \ufffdno from {tmp_path}/assets.extra/tf_serving_warmup_requests",
    )


GOOD = record(b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"12345678901", f"truncated record at 0. {FORMAT}"),
        (b"not a record file", f"corrupted record at 0 (Is this even a TFRecord file?). {FORMAT}"),
        (GOOD + b"1", f"truncated record at 16. {FORMAT}"),
        (GOOD + b"not a record file", f"corrupted record at 16. {FORMAT}"),
        (GOOD + record(b"\x0a\0")[:-5], f"truncated record at 16. {FORMAT}"),
        (GOOD + record(b"\x0a\0")[:-1], f"truncated record at 16. {FORMAT}"),
        (GOOD + record(b"\x0a\0")[:-1] + b"!", f"corrupted record at 16. {FORMAT}"),
        (GOOD * 2 + record(b"\x0a\0").replace(b"\x0a", b"\x0b"), f"corrupted record at 32. {FORMAT}"),
    ],
)
def test_damaged_files(warm, content, message):
    assert refused(lambda: warm(content)) == (Code.DATA_LOSS, message)


@pytest.mark.parametrize("length", [2**62, 2**64 - 1])
def test_a_record_that_claims_to_be_huge(warm, length):
    head = struct.pack("<Q", length)
    content = GOOD + head + struct.pack("<I", masked_crc32c(head)) + b"short"
    assert refused(lambda: warm(content)) == (Code.DATA_LOSS, f"truncated record at 16. {FORMAT}")
