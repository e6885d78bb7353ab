"""The gRPC services: reflection, signature defaults, deadlines, and what no recorded call touches."""

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.handlers.classify import classify
from serving.handlers.multi_inference import multi_inference
from serving.handlers.predict import predict
from serving.handlers.regress import regress
from serving.handlers.settings import Settings
from serving.servable import Signature
from tests.serving.golden.recorded import Program
from tests.serving.golden.server import Server

OURS = Program("showdown-model-server", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)

X, Y = (Tensor(DataType.FLOAT, np.array([value], np.float32)) for value in (1, 2))


class Model:
    """Stands for all models and their only version: gives back its float inputs, and 0 for what it is not given."""

    def __init__(self, **signatures):
        self.signatures = {name: Signature(definition) for name, definition in signatures.items()}
        self.timeouts = []

    def run(self, feeds, inputs, fetches, timeout):
        self.timeouts.append(timeout)
        given = dict(zip(feeds, inputs, strict=True))
        rows = len(inputs[0].array)
        zeros = Tensor(DataType.FLOAT, np.zeros((rows, 1), np.float32))
        return [given.get(name.removeprefix("out_"), zeros) for name in fetches]

    @contextmanager
    def lease(self, _):
        yield SimpleNamespace(servable=self, version=1)


def definition(method, inputs, outputs, **defaults):
    made = protos.meta_graph.SignatureDef(method_name=f"tensorflow/serving/{method}")
    for aliases, infos in ((inputs, made.inputs), (outputs, made.outputs)):
        for alias in aliases:
            infos[alias].name = alias if infos is made.inputs else f"out_{alias.removeprefix('same_')}"
            infos[alias].dtype = DataType.FLOAT
    for alias, value in defaults.items():
        made.defaults[alias].CopyFrom(proto(value))
    return made


def proto(tensor):
    made = protos.tensor.TensorProto(dtype=tensor.dtype, float_val=tensor.array.tolist())
    made.tensor_shape.dim.add(size=len(tensor.array))
    return made


def ask(model, **inputs):
    request = protos.predict.PredictRequest()
    request.model_spec.name = "m"
    for alias, tensor in inputs.items():
        request.inputs[alias].CopyFrom(proto(tensor))
    response = predict(model, Settings(), request, None)
    return {alias: list(output.float_val) for alias, output in response.outputs.items()}


@pytest.fixture
def with_default():
    return Model(serving_default=definition("predict", ["a", "b"], ["same_a", "same_b"], b=Y))


def test_a_signature_default_fills_an_absent_input(with_default):
    assert ask(with_default, a=X) == {"same_a": [1], "same_b": [2]}
    assert ask(with_default, a=X, b=X) == {"same_a": [1], "same_b": [1]}


def test_with_defaults_a_wrong_extra_name_is_told(with_default):
    with pytest.raises(StatusError) as caught:
        ask(with_default, a=X, c=X)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == "Inputs contains invalid name. Used request inputs: a, request input: a,c"


def test_an_input_without_default_is_missed(with_default):
    with pytest.raises(
        StatusError,
        match=r"Signature input alias: a\(feed name: a\) not found in request and no default value provided",
    ):
        ask(with_default, b=X)


@pytest.mark.parametrize("call", [predict, classify, regress, multi_inference])
def test_the_callers_deadline_is_the_timeout_of_the_run(call):
    model = Model(
        serving_default=definition("predict", ["x"], ["same_x"]),
        classify=definition("classify", ["inputs"], ["scores"]),
        regress=definition("regress", ["inputs"], ["outputs"]),
    )
    kind = {
        predict: protos.predict.PredictRequest,
        classify: protos.classification.ClassificationRequest,
        regress: protos.regression.RegressionRequest,
        multi_inference: protos.inference.MultiInferenceRequest,
    }[call]
    request = kind()
    spec = (
        request.tasks.add(method_name="tensorflow/serving/regress").model_spec
        if call is multi_inference
        else request.model_spec
    )
    spec.name = "m"
    if call is predict:
        request.inputs["x"].CopyFrom(proto(X))
    else:
        spec.signature_name = "classify" if call is classify else "regress"
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
    call(model, Settings(), request, 1.25)
    assert model.timeouts == [1.25]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    flags = ["--port=<GRPC>", "--rest_api_port=<REST>", "--model_name=m", "--model_base_path=<MODELS>/example"]
    setup = {
        "flags": [*flags, "--enable_grpc_healthcheck_service=true", "--monitoring_config_file=<BASE>/monitoring"],
        "files": {"monitoring": "prometheus_config { enable: true }\n"},
    }
    with Server(OURS, setup, tmp_path_factory.mktemp("server")) as one:
        assert one.start({"expect": {"state": "ready"}}, "<GRPC>", "<REST>")["state"] == "ready", one.report()
        yield one


@pytest.mark.slow
def test_reflection_describes_the_services(server):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(f"127.0.0.1:{server.filled('<GRPC>')}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "tensorflow.serving.ModelService",
            "tensorflow.serving.PredictionService",
        }
        pool = DescriptorPool(database)
        service = pool.FindServiceByName("tensorflow.serving.PredictionService")
        assert [method.name for method in service.methods] == [
            "Classify",
            "Regress",
            "Predict",
            "MultiInference",
            "GetModelMetadata",
        ]
        assert service.methods_by_name["Predict"].input_type.full_name == "tensorflow.serving.PredictRequest"


@pytest.mark.slow
def test_multi_inference_is_not_counted(server):
    example = {"features": {"feature": {"x": {"float_list": {"value": [1.0]}}}}}
    spec = {"name": "m", "signature_name": "regress"}
    request = {
        "tasks": [{"model_spec": spec, "method_name": "tensorflow/serving/regress"}],
        "input": {"example_list": {"examples": [example]}},
    }
    assert server.ask({"grpc": {"method": "MultiInference", "request": request}})["code"] == "OK"
    assert (
        "request_count{"
        not in server.ask({"rest": {"method": "GET", "path": "/monitoring/prometheus/metrics"}})["body"]
    )
    request = {"model_spec": spec, "input": request["input"]}
    assert server.ask({"grpc": {"method": "Regress", "request": request}})["code"] == "OK"
    page = server.ask({"rest": {"method": "GET", "path": "/monitoring/prometheus/metrics"}})["body"]
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page


@pytest.mark.slow
def test_a_model_may_have_no_name_and_cannot_have_two_platforms(server):
    from tests.serving.golden.recorded import MODELS

    def reload(**config):
        config = {"base_path": f"{MODELS}/half_plus_two", **config}
        config = {"config": {"model_config_list": {"config": [config]}}}
        return server.ask({"grpc": {"method": "HandleReloadConfigRequest", "request": config}})

    assert reload(name="", model_platform="tensorflow")["code"] == "OK"
    both = reload(name="n", model_platform="tensorflow", model_type="TENSORFLOW")
    assert both["code"] == "INVALID_ARGUMENT"
    assert both["message"].startswith("Illegal setting both ModelServerConfig::model_type (deprecated) and ")
