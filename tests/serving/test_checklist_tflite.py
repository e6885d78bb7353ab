"""A version folder with model.tflite beside its SavedModel."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from tests.serving.golden.recorded import GOLDEN, MODELS, Program
from tests.serving.golden.server import Server

pytestmark = pytest.mark.slow

OURS = Program("showdown-model-server", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)

SIGNED = GOLDEN.parent / "artifacts/0.1.0/tflite/or_gate_pytorch.int8.tflite"
"""An OR of two inputs, int8[?, 2] -> int8[?, 1]."""

ROWS = "[[-128, -128], [127, -128], [127, 127]]"

FLAGS = ("--port=<GRPC>", "--rest_api_port=<REST>", "--model_name=m", "--model_base_path=<BASE>/m")


@pytest.fixture(scope="module")
def unsigned():
    """The same file without its signature; TensorFlow, which has the schema, is not imported for it."""
    flatbuffers = pytest.importorskip("flatbuffers")
    package = importlib.util.find_spec("tensorflow")
    assert package
    assert package.origin
    path = Path(package.origin).with_name("lite") / "python/schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("schema_py_generated", path)
    assert spec
    assert spec.loader
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    model = schema.ModelT.InitFromPackedBuf(SIGNED.read_bytes())
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def serve(tmp_path):
    """Serves half_plus_two with a file beside it, or without."""
    started = []

    def start(data, *flags, **files):
        shutil.copytree(MODELS / "half_plus_two" / "1", tmp_path / "m" / "1")
        if data:
            (tmp_path / "m" / "1" / "model.tflite").write_bytes(data)
        started.append(Server(OURS, {"flags": [*FLAGS, *flags], "files": files}, tmp_path))
        ready = started[-1].start({"expect": {"state": "ready"}}, "<GRPC>", "<REST>")
        assert ready["state"] == "ready", started[-1].report()
        return started[-1]

    yield start
    for server in started:
        server.kill()


def predict(server, body):
    answer = server.ask({"rest": {"method": "POST", "path": "/v1/models/m:predict", "body": body}})
    return answer["status"], "".join(answer["body"].split())


def aliases(server):
    """The signatures by gRPC, with the aliases of their inputs and outputs."""
    request = {"model_spec": {"name": "m"}, "metadata_field": ["signature_def"]}
    answer = server.ask({"grpc": {"method": "GetModelMetadata", "request": request}})
    signatures = answer["response"]["metadata"]["signature_def"]["signature_def"]
    return {name: (list(one["inputs"]), list(one["outputs"])) for name, one in signatures.items()}


def test_the_file_is_served_with_its_signature_and_any_number_of_rows(serve):
    server = serve(SIGNED.read_bytes(), "--prefer_tflite_model=true")
    assert aliases(server) == {"serving_default": (["x"], ["y"])}
    status, body = predict(server, f'{{"instances": {ROWS}}}')
    assert status == 200
    low, *high = [row[0] for row in _predictions(body)]
    assert low < 0 < min(high)
    assert predict(server, '{"instances": [[127, -128]]}')[0] == 200


def test_a_file_without_signature_is_served_by_the_names_of_its_tensors(serve, unsigned):
    server = serve(unsigned, "--prefer_tflite_model=true")
    assert aliases(server) == {"serving_default": (["serving_default_x"], ["PartitionedCall_2"])}
    status, body = predict(server, f'{{"instances": {ROWS}}}')
    assert (status, len(_predictions(body))) == (200, 3)


@pytest.mark.parametrize(("has_file", "flag"), [(True, "false"), (False, "true")])
def test_the_saved_model_is_served_without_the_file_or_the_flag(serve, has_file, flag):
    server = serve(SIGNED.read_bytes() if has_file else b"", f"--prefer_tflite_model={flag}")
    assert predict(server, '{"instances": [2.0]}') == (200, '{"predictions":[3.0]}')


def test_batching_applies(serve):
    server = serve(
        SIGNED.read_bytes(),
        "--prefer_tflite_model=true",
        "--enable_batching=true",
        "--batching_parameters_file=<BASE>/batching",
        batching="max_batch_size { value: 2 }\n",
    )
    status, body = predict(server, f'{{"instances": {ROWS}}}')
    assert (status, "Tasksize3islargerthanmaximuminputbatchsize2" in body) == (400, True)
    assert predict(server, '{"instances": [[127, -128]]}')[0] == 200


def test_warm_up_applies(tmp_path):
    shutil.copytree(MODELS / "warm_good" / "1", tmp_path / "m" / "1")  # its records do not fit the file
    shutil.copy(SIGNED, tmp_path / "m" / "1" / "model.tflite")
    flags = [*FLAGS, "--prefer_tflite_model=true", "--max_num_load_retries=0"]
    with Server(OURS, {"flags": flags}, tmp_path) as server:
        assert server.ends_within(30)
        assert "did not become available: {{{name: m version: 1} due to error: INVALID_ARGUMENT" in server.stdout


def _predictions(body):
    import json

    return json.loads(body)["predictions"]
