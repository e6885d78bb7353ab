"""The project cloned: the same bytes wherever it lies, and only what a change concerns is made again."""

import json
import re
from pathlib import Path

import pytest

from contract.files import sha256, tree_files

pytestmark = pytest.mark.slow  # exports


@pytest.fixture
def tree(tmp_path, clone, showdown) -> Path:
    """A clone of its own, exported."""
    root: Path = clone(tmp_path / "clone")
    showdown("export", root=root)
    return root


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert content.count(old) == 1
    path.write_text(content.replace(old, new))


def results(build: Path) -> dict[str, tuple[str, int]]:
    """Key and time of each stage's result."""
    return {
        record.parent.parent.name: (record.parent.name, record.stat().st_mtime_ns)
        for record in (build / "cache" / "or_gate").glob("*/*/stage.json")
    }


def test_two_clones_make_the_same_bytes(tmp_path, clone, showdown):
    made = []
    for folder in ("a", "somewhat deeper/with a blank/clone"):
        build = clone(tmp_path / folder) / "build"
        showdown("export", "--seed", "11", root=build.parent)
        names = [
            name
            for name in tree_files(build)
            if re.match(r"golden/|tflite/|report/|serving/or_gate_|.*\.(onnx|safetensors|pb|tflite)$", name)
        ]
        made.append({name: sha256(build / name) for name in names})
    first, second = made
    assert first == second
    kinds = {Path(name).suffix for name in first}
    assert {".onnx", ".safetensors", ".tflite", ".json", ".pb", ".index", ".data-00000-of-00001"} <= kinds
    assert len([name for name in first if name.startswith("serving/")]) == 3 * 5


def test_a_change_in_the_code_of_a_stage_makes_only_its_files_again(tree, showdown):
    before = results(tree / "build")
    edit(tree / "export" / "tflite.py", "import tensorflow as tf\n", "import tensorflow as tf\n\n# A comment.\n")
    output = showdown("export", root=tree).stdout
    after = results(tree / "build")
    ran = {stage for stage, result in after.items() if result != before[stage]}
    # A comment changes no byte of the files, so nothing that reads them has to run.
    assert ran == {stage for stage in after if stage.startswith("tflite.")}
    assert len(ran) == 18
    lines = re.findall(r"^\[ *\d+/\d+\] (\S+)", output, re.MULTILINE)
    assert sorted(lines) == ["tflite.keras", "tflite.pytorch", "tflite.static_graph"]


def test_a_change_in_a_network_makes_only_its_branch_again(tree, showdown):
    before = results(tree / "build")
    # Small enough for the tolerance, large enough for other bytes.
    edit(
        tree / "models" / "or_gate" / "torch_net.py",
        "                parameter.sub_(config.learning_rate * slope[name])\n    return net\n",
        "                parameter.sub_(config.learning_rate * slope[name])\n"
        "    net.output.bias.data.add_(2e-6)\n    return net\n",
    )
    showdown("export", root=tree)
    after = results(tree / "build")
    ran = {stage for stage, result in after.items() if result != before[stage]}
    # The golden vectors are the oracle's.
    assert ran == {stage for stage in after if "pytorch" in stage} - {"publish.golden.pytorch"} | {"report"}
    published = {path.relative_to(tree / "build" / "serving").as_posix() for path in tree.glob("build/serving/*/*")}
    assert published == {"or_gate_keras/1", "or_gate_pytorch/1", "or_gate_pytorch/2", "or_gate_static_graph/1"}


def test_nothing_changed_means_nothing_runs(tree, showdown):
    before = results(tree / "build")
    assert "Nothing to do: all 85 stages are up to date" in showdown("export", root=tree).stdout
    assert results(tree / "build") == before


SWAPPED = """

def _swapped(model):
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.name == "hidden.weight":  # [hidden units, inputs]
            weight = numpy_helper.to_array(tensor)[:, ::-1]
            tensor.CopyFrom(numpy_helper.from_array(weight.copy(), tensor.name))
    return model
"""

OFF = (
    r"to_tensorflow in tensorflow_c: y for \w+ input '.+?'.*?, x = \[ *(\S+) +(\S+) *\]: is (\S+), the step before "
    r"gave (\S+), \|difference\| (\S+) is over the tolerance of 1e-06"
)


@pytest.fixture
def swapped(tmp_path, clone) -> Path:
    """A clone whose own converter swaps the inputs."""
    root: Path = clone(tmp_path / "clone")
    converter = root / "pipeline" / "to_tensorflow" / "with_showdown.py"
    edit(converter, "to_module(model)", "to_module(_swapped(model))")
    converter.write_text(converter.read_text() + SWAPPED)
    return root


def test_a_converter_that_swaps_the_inputs_is_stopped_at_its_hop(swapped, showdown):
    done = showdown("export", "--converter", "showdown", root=swapped, status=1)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("showdown: ")]
    found = re.fullmatch(rf"showdown: error: verify\.to_tensorflow\.showdown\.pytorch: {OFF}.*", line)
    assert found, line
    x1, x2, given, wanted, difference = map(float, found.groups())
    assert x1 != x2
    # Printed with three digits.
    assert abs(given - wanted) == pytest.approx(difference, rel=1e-2)
    assert not (swapped / "build" / "serving" / "or_gate_pytorch").exists()
    assert not list((swapped / "build").glob("tflite/or_gate_pytorch.*"))
    assert not (swapped / "build" / "report" / "or_gate.json").exists()


def test_another_converter_takes_over_from_one_that_swaps_the_inputs(swapped, showdown):
    report = json.loads(showdown("export", "--json", root=swapped).stdout)
    checks = {row["name"]: [check["verdict"] for check in row["checks"]] for row in report["rows"]}
    assert checks["or_gate_pytorch by showdown"] == ["failed"]
    assert checks["or_gate_pytorch by onnx-tf"] == checks["or_gate_pytorch"] == ["verified"]
    manifest = json.loads((swapped / "build/serving/or_gate_pytorch/1/manifest.json").read_text())
    [hop] = [hop for hop in manifest["parity"] if hop["hop"] == "to_tensorflow"]
    assert hop["converter"] == "onnx-tf"
    assert re.fullmatch(rf"showdown did not pass: {OFF}", hop["why"]), hop["why"]
    assert {check["verdict"] for check in hop["checks"]} == {"verified"}


def test_the_report_as_json_is_all_that_goes_to_standard_output(tree, showdown):
    output = showdown("export", "--json", root=tree).stdout
    assert json.loads(output) == json.loads((tree / "build" / "report" / "or_gate.json").read_text())


def test_without_fork_as_on_macos_every_step_is_verified_too(tmp_path, clone, showdown):
    root = clone(tmp_path / "clone")
    edit(root / "pipeline" / "worker.py", 'CAN_FORK = sys.platform == "linux"', "CAN_FORK = False")
    report = json.loads(showdown("export", "--json", root=root).stdout)
    assert len(report["rows"]) == 27
    # Absent is what tflite_runtime is on macOS.
    assert {check["verdict"] for row in report["rows"] for check in row["checks"]} - {"absent"} == {"verified"}


def test_two_frameworks_that_disagree(clone, showdown, tmp_path):
    tree = clone(tmp_path / "tree")
    spec = tree / "models/or_gate/spec.py"
    spec.write_text(spec.read_text().replace('oracle="models.or_gate.numpy_net"', 'reference="keras"'))
    net = tree / "models/or_gate/torch_net.py"
    net.write_text(net.read_text().replace("    net = _start(seed)\n", "    net = _start(seed + 1)\n"))
    line = showdown("export", root=tree, status=1).stderr.splitlines()[-1]
    assert "verify.train.pytorch: train in torch: y for " in line
    assert "over the tolerance of 1e-05" in line
    assert not (tree / "build/serving/or_gate_pytorch").exists()
