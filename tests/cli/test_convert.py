"""`showdown convert`: what it writes, what it says, and its exit status."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

NET = """<ir_version: 8, opset_import: ["" : 18]>
net (float[batch, 3] x) => (float[batch, 3] y) <float[3] w = {1.0, 2.0, 3.0}>
{ first = Add (x, w) y = Add (first, x) }"""

WRONG = """
from pipeline.onnx_to_tf import Family

ops = Family("wrong")


@ops.register("Add", 7, 13, 14)
def subtract(node, a, b):
    return a - b if node.name == "second" else a + b
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "in" / "net.onnx"
    path.parent.mkdir()
    model = onnx.parser.parse_model(NET)
    for node, name in zip(model.graph.node, ("first", "second"), strict=True):
        node.name = name
    onnx.save(model, path)
    return path


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    return path


def error_of(done):
    """The one line that says what is wrong; progress stands before it."""
    *_, line = done.stderr.splitlines()
    assert line.startswith("showdown: error: ")
    assert "Traceback" not in done.stderr
    return line.removeprefix("showdown: error: ")


def test_it_writes_a_saved_model_and_a_tflite_file_that_answer(showdown, net, tmp_path):
    before = net.read_bytes()
    done = showdown("convert", net, "-o", tmp_path / "out" / "net", "--tflite", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["saved_model"] == str(tmp_path / "out" / "net")
    assert told["tflite"] == str(tmp_path / "out" / "net.tflite")
    assert told["verification"]["calls"] == ["batch 1", "batch 7"]
    assert told["verification"]["reference"] == told["tflite_verification"]["reference"] == "onnxruntime"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"net", "net.tflite"}
    assert net.read_bytes() == before
    assert [path.name for path in net.parent.iterdir()] == ["net.onnx"]
    for file in (told["saved_model"], told["tflite"]):
        answered = showdown("predict", file, "--input", '{"x": [[1, 1, 1]]}', "--json")
        assert json.loads(answered.stdout) == {"y": [[3.0, 4.0, 5.0]]}


def test_it_says_what_was_verified(showdown, net, tmp_path):
    done = showdown("convert", net, "-o", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert line.endswith(
        "net: verified in tensorflow_c against onnxruntime, max |difference| 0.0e+00 over 24 values at batch 1; batch 7"
    )
    assert "Traceback" not in done.stderr


def test_another_value_is_a_failure_that_leaves_nothing(showdown, net, tmp_path, wrong):
    done = showdown("convert", net, "-o", tmp_path / "net", "--tflite", "--operators", wrong)
    assert done.returncode == 1
    assert done.stdout == ""
    message = error_of(done)
    assert message.startswith("the SavedModel in tensorflow_c against onnxruntime: y for random input 'batch 1'")
    assert message.endswith("--bisect finds the first node that differs")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "wrong.py"}


def test_bisect_names_the_node_and_both_values(showdown, net, tmp_path, wrong):
    done = showdown("convert", net, "--bisect", "--operators", wrong, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)["difference"]
    assert (found["op_type"], found["node"], found["output"]) == ("Add", "second", "y")
    message = error_of(done)
    assert message.startswith(
        "the first node that differs is Add (domain ai.onnx, node 'second'): its output 'y' at [0, "
    )
    assert f"is {found['actual']} instead of {found['expected']}" in message
    after = showdown("convert", net, "-o", tmp_path / "net", "--bisect", "--operators", wrong)
    assert after.returncode == 1
    assert "the first node that differs is Add" in error_of(after)
    right = showdown("convert", net, "--bisect")
    assert (right.returncode, right.stdout) == (0, "no node differs\n")


def test_coverage_lists_the_operators(showdown):
    done = showdown("convert", "--coverage")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "7, 13, 14" in rows["Add"]
    told = json.loads(showdown("convert", "--coverage", "--json").stdout)
    [add] = [row for row in told["operators"] if (row["domain"], row["op_type"]) == ("ai.onnx", "Add")]
    assert add["family"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what shall be converted? give a FILE.onnx"),
        (["absent.onnx", "-o", "x"], "absent.onnx: there is no such file"),
        (["tests", "-o", "x"], "tests: a folder, not an ONNX file"),
        (["{net}"], "where to? give a folder with -o"),
        (["{net}", "-o", "{out}", "--static", "batch"], "--static 'batch': write AXIS=SIZE"),
        (["{net}", "-o", "{out}", "--static", "bach=1"], "no input has an axis 'bach'; the dynamic axes are batch"),
        (["{net}", "-o", "{out}", "--axis", "batch"], "--axis 'batch': write NAME=SIZE,SIZE"),
        (["{net}", "-o", "{out}", "--axis", "bach=1"], "no input has a dynamic axis 'bach'; did you mean 'batch'?"),
        (["{net}", "-o", "{out}", "--input", "absent.npz"], "absent.npz: there is no such file"),
        (["{net}", "-o", "{out}", "--operators", "absent.py"], "absent.py: there is no such file"),
        (["{net}", "-o", "{out}", "--operators", "README.md"], "README.md: not a Python file"),
        (["{net}", "-o", "{out}", "--operators", "cli/paths.py"], "cli/paths.py: it needs `ops = Family"),
        (["{net}", "-o", "{out}", "--as-defined", "Conv"], "Conv: onnx defines no such operator by others"),
        (["{net}", "-o", "{net}"], "the model itself lies there"),
        (["{net}", "-o", "tests"], "tests: a folder with other files than a SavedModel"),
    ],
)
def test_what_is_not_there_is_exit_status_2(showdown, net, tmp_path, arguments, message):
    done = showdown("convert", *(text.format(net=net, out=tmp_path / "out") for text in arguments))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert message in error_of(done)
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_exit_status_1(showdown, net, tmp_path):
    net.write_bytes(net.read_bytes()[:-9])
    done = showdown("convert", net, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert error_of(done).startswith(f"{net}: damaged or not an ONNX file")


def test_only_what_is_said_is_replaced(showdown, net, tmp_path):
    assert showdown("convert", net, "-o", tmp_path / "net").returncode == 0
    refused = showdown("convert", net, "-o", tmp_path / "net")
    assert refused.returncode == 2
    assert error_of(refused).endswith("there is a SavedModel already; --force replaces it")
    done = showdown("convert", net, "-o", tmp_path / "net", "--force", "--static", "batch=2")
    assert done.returncode == 0, done.stderr
    shape = json.loads(showdown("inspect", tmp_path / "net", "--json").stdout)
    assert [2, 3] in [border["shape"] for border in shape["inputs_and_outputs"]]
    assert {path.name for path in tmp_path.iterdir()} == {"in", "net"}


def test_inputs_can_be_given(showdown, net, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((5, 3), np.float32))
    done = showdown("convert", net, "-o", tmp_path / "net", "--input", tmp_path / "x.npz")
    assert done.returncode == 0, done.stderr
    assert "over 15 values" in done.stdout


def test_a_folder_without_permission_is_one_line(showdown, net, obedient, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    done = showdown("convert", net, "-o", tmp_path / "locked" / "net", around=lambda *command: [*obedient, *command])
    assert done.returncode == 1
    assert error_of(done).endswith("no permission to write there; choose another folder with -o")


def test_operators_are_taken_as_onnx_defines_them(showdown, net, tmp_path):
    done = showdown("convert", net, "-o", tmp_path / "net", "--as-defined", "Attention,Gelu")
    assert done.returncode == 0, done.stderr
    told = json.loads(showdown("convert", "--coverage", "--as-defined", "Attention,Gelu", "--json").stdout)
    rows = {row["op_type"]: row for row in told["operators"] if row["domain"] == "ai.onnx"}
    assert [(rows[name]["converted"], rows[name]["expanded"]) for name in ("Attention", "Gelu")] == [
        ([], [23]),
        ([], [20]),
    ]


def test_debug_shows_the_traceback(showdown, net, tmp_path):
    done = showdown("convert", net, "-o", tmp_path / "net", "--static", "bach=1", "--debug")
    assert "Traceback (most recent call last)" in done.stderr
    assert done.returncode == 2


def test_the_module_of_the_verb_imports_no_framework():
    script = "import sys, cli.convert; print({'tensorflow', 'onnx', 'numpy', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
