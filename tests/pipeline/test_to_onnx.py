"""Both of torch's exporters, and what may stand in the file."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # PyTorch exports the network

ROOT = Path(__file__).parents[2]

# Opset 19 is neither exporter's default.
PROGRAM = """
import sys
from pathlib import Path
from safetensors.numpy import save_file
from models.or_gate.spec import SPEC
from models.or_gate.training import initial_weights
from pipeline.spec import write_spec
from pipeline.to_onnx import export_onnx

folder = Path(sys.argv[1])
write_spec(out=folder, spec=SPEC.to_dict())
save_file(initial_weights(0), folder / "weights.safetensors")
for exporter in ("dynamo", "torchscript"):
    for name, opset in (("default", None), ("chosen", 19)):
        out = folder / exporter / name
        out.mkdir(parents=True)
        export_onnx(out=out, spec=folder / "spec.json", weights=folder / "weights.safetensors", network="pytorch",
                    exporter=exporter, opset=opset)
"""


def export_all(folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> Path:
    return export_all(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module", params=["dynamo", "torchscript"])
def exporter(request) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def model(exports, exporter):
    import onnx

    return onnx.load(exports / exporter / "default" / "model.onnx")


def shape(value) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def opset(model) -> int:
    [version] = [entry.version for entry in model.opset_import if entry.domain == ""]
    return int(version)


def test_names_are_the_specs_and_the_batch_axis_is_dynamic_by_name(model):
    assert {value.name: shape(value) for value in model.graph.input} == {"x": ["batch", 2]}
    assert {value.name: shape(value) for value in model.graph.output} == {"y": ["batch", 1]}


@pytest.mark.parametrize("size", [1, 7])
def test_any_batch_runs(model, size):
    from onnx.reference import ReferenceEvaluator

    [y] = ReferenceEvaluator(model).run(None, {"x": np.zeros((size, 2), np.float32)})
    assert np.shape(y) == (size, 1)


def test_the_default_opset_is_at_least_18_and_is_recorded(exports, exporter, model):
    recorded = json.loads((exports / exporter / "default" / "onnx.json").read_text())
    assert recorded == {"opset": opset(model), "ir_version": model.ir_version, "exporter": exporter}
    assert opset(model) >= 18


def test_the_chosen_opset_is_kept(exports, exporter):
    import onnx

    assert opset(onnx.load(exports / exporter / "chosen" / "model.onnx")) == 19


def test_onnx_accepts_the_file_in_a_full_check(exports, exporter):
    import onnx

    onnx.checker.check_model(exports / exporter / "default" / "model.onnx", full_check=True)


def paths_of_this_machine(content: bytes) -> Iterator[str]:
    """Whatever begins like a path and whose first folder is there; names of ONNX nodes begin with a slash too."""
    for found in re.findall(rb"(?<![\w.])/[\w.-]+", content):
        if Path(found.decode()).exists():
            yield found.decode()


def test_a_path_of_this_machine_would_be_found():
    assert list(paths_of_this_machine(b"\x12 " + str(ROOT).encode() + b" /hidden/Gemm")) == [f"/{ROOT.parts[1]}"]


def test_no_path_of_this_machine_is_in_the_file(exports, exporter):
    content = (exports / exporter / "default" / "model.onnx").read_bytes()
    assert list(paths_of_this_machine(content)) == []
    for text in (str(ROOT), str(exports), sys.prefix, str(Path.home()), "site-packages", "stack_trace", ".py"):
        assert text.encode() not in content


def test_dynamo_keeps_the_way_back_to_the_module(exports):
    import onnx

    nodes = onnx.load(exports / "dynamo" / "default" / "model.onnx").graph.node
    scopes = [entry.value for node in nodes for entry in node.metadata_props if entry.key.endswith("name_scopes")]
    assert len(scopes) == len(nodes)
    assert any("hidden" in scope for scope in scopes)


def test_weights_are_in_the_file_itself(exports, exporter, model):
    from onnx import TensorProto
    from onnx.numpy_helper import to_array

    folder = exports / exporter / "default"
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "onnx.json"]
    assert [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL] == []
    assert sum(to_array(tensor).size for tensor in model.graph.initializer) == 2 * 2 + 2 + 2 + 1


def test_another_process_writes_the_same_bytes(exports, exporter, tmp_path):
    other = export_all(tmp_path) / exporter
    for name in ("default/model.onnx", "chosen/model.onnx"):
        assert (other / name).read_bytes() == (exports / exporter / name).read_bytes()


def test_a_file_that_onnx_refuses_is_one_line(tmp_path, monkeypatch, spec_file):
    import torch
    from safetensors.numpy import save_file

    from contract.errors import ConversionError
    from models.or_gate.spec import SPEC
    from models.or_gate.training import initial_weights
    from pipeline import to_onnx

    def nameless(net: torch.nn.Module, spec: object, opset: int | None, path: Path):
        import onnx

        graph = onnx.helper.make_graph([onnx.helper.make_node("Nonsense", ["x"], ["y"])], "graph", [], [])
        return onnx.helper.make_model(graph)

    save_file(initial_weights(0), tmp_path / "weights.safetensors")
    monkeypatch.setitem(to_onnx._EXPORTERS, to_onnx.Exporter.DYNAMO, nameless)
    with pytest.raises(ConversionError, match="torch's dynamo exporter made a file that ONNX refuses") as caught:
        to_onnx.export_onnx(
            out=tmp_path,
            weights=tmp_path / "weights.safetensors",
            spec=spec_file(SPEC),
            network="pytorch",
            exporter="dynamo",
            opset=None,
        )
    assert "Nonsense" in str(caught.value)
    assert "\n" not in str(caught.value)
