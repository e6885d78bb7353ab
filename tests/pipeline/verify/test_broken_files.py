"""The chain broken on purpose: real files with one fault each, verified in clean processes."""

import importlib.util
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from contract.errors import ParityError, RuntimeRefusedError, SpecError
from contract.model_spec import Refusal, Tolerance
from contract.tensor_spec import TensorSpec
from models.or_gate import numpy_net
from models.or_gate.spec import SPEC
from pipeline.verify.probes import Kind, Probe, write_probes
from pipeline.verify.stages import verify_file, verify_network
from pipeline.verify.tensor_files import read_tensors, write_tensors

pytestmark = pytest.mark.slow  # TensorFlow makes the models

FILE = "pipeline.verify.stages:verify_file"
SAVED_MODEL = "pipeline.verify.signatures:verify_saved_model"
WITHOUT_HUGE = ["golden", "random", "edge"]
TFLITE = ["ai_edge_litert"]

needs_tflite_runtime = pytest.mark.skipif(
    importlib.util.find_spec("tflite_runtime") is None, reason="tflite_runtime has no wheel for this platform"
)


def failure(reply, kind=ParityError):
    """The message of the error, which has to be of this kind and one readable line."""
    error = reply["error"]
    assert type(error) is kind
    message = str(error)
    assert "\n" not in message
    assert len(message) < 500
    return message


def check_row(message):
    """The message has to name an input, both values, the difference and the tolerance."""
    for part in (" input '", "x = [", ": is ", "the step before gave ", "|difference| ", "over the tolerance of 1e-06"):
        assert part in message


# SavedModel


def test_the_right_saved_model_passes(check, models, tmp_path, truth):
    reply = check(SAVED_MODEL, models / "right")
    assert reply["result"]["note"].startswith("max |difference| ")
    assert reply["parity"]["hop"] == "saved_model"
    [verdict] = reply["parity"]["checks"]
    assert (verdict["runtime"], verdict["verdict"]) == ("tensorflow_c", "verified")
    assert 0 < verdict["max_abs_diff"] <= verdict["tolerance"]["atol"] == SPEC.tolerance("saved_model").atol
    assert 0 < verdict["mean_abs_diff"] < verdict["max_abs_diff"]
    answers = {answer["vector"]: round(answer["outputs"]["y"][0]) for answer in verdict["answers"]}
    assert answers == {"0,0": 0, "0,1": 1, "1,0": 1, "1,1": 1}
    outputs, wanted = read_tensors(tmp_path / "outputs.npz"), read_tensors(truth.outputs)
    assert outputs.keys() == wanted.keys()
    assert verdict["values"] == sum(tensors["y"].size for tensors in outputs.values())


def test_no_trainer_is_loaded(check, models):
    loaded = {name.partition(".")[0] for name in check(SAVED_MODEL, models / "right")["modules"]}
    assert not {"keras", "tensorflow", "torch"} & loaded


@pytest.mark.parametrize("name", ["swapped", "no_bias", "constant", "shifted"])
def test_a_wrong_computation_is_caught(check, models, name):
    for call, arguments in ((SAVED_MODEL, {}), (FILE, {"hop": "saved_model", "on": ["tensorflow_c"]})):
        message = failure(check(call, models / name, **arguments))
        assert message.startswith("saved_model in tensorflow_c: y for ")
        check_row(message)


@pytest.mark.parametrize("name", ["swapped", "no_bias", "constant", "shifted"])
def test_golden_inputs_alone_catch_it(check, models, name):
    message = failure(check(SAVED_MODEL, models / name, kinds=["golden"]))
    assert "y for golden input '" in message


def test_the_difference_of_a_shift_is_the_shift(check, models):
    message = failure(check(SAVED_MODEL, models / "shifted", kinds=["golden"]))
    difference = float(message.partition("|difference| ")[2].partition(" ")[0])
    # float32 near 1 and three digits in the message.
    assert difference == pytest.approx(1e-3, rel=2e-3)


def test_overflow_is_seen_by_huge_inputs_only(check, models):
    assert "result" in check(SAVED_MODEL, models / "naive", kinds=WITHOUT_HUGE)
    message = failure(check(SAVED_MODEL, models / "naive"))
    assert "y for huge input '" in message
    assert ": is nan, the step before gave " in message


def test_a_wrong_output_name(check, models):
    message = failure(check(SAVED_MODEL, models / "wrong_name"), SpecError)
    assert message == ("saved_model in tensorflow_c: has the tensors ['z'], the spec says ['y float32[batch, 1]']")


def test_a_wrong_output_dtype(check, models):
    message = failure(check(SAVED_MODEL, models / "wrong_dtype"), SpecError)
    assert message == ("saved_model in tensorflow_c: the spec says y float32[batch, 1], but here it is float64[?, 1]")


def test_method_names_that_were_not_fixed(check, models):
    message = failure(check(SAVED_MODEL, models / "wrong_methods"))
    assert message.startswith("saved_model: the spec wants the signatures {")
    assert "'classify': 'tensorflow/serving/classify'" in message
    assert "the file has {" in message
    assert "'classify': 'tensorflow/serving/predict'" in message


def test_a_missing_signature(check, models):
    wanted, _, given = failure(check(SAVED_MODEL, models / "no_regress")).partition("the file has")
    assert "regress" in wanted
    assert "classify" in given
    assert "regress" not in given


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("wrong_classes", "classify gives classes = [[b'1', b'0']]"),
        ("no_scores", "classify gives ['classes'], not scores"),
        ("wrong_regress", "regress gives outputs = [["),
    ],
)
def test_other_signatures_have_to_say_the_same(check, models, name, signature):
    message = failure(check(SAVED_MODEL, models / name))
    assert message.startswith(f"saved_model: signature {signature}")


def test_only_the_signatures_check_sees_other_signatures(check, models):
    """What `verify_saved_model` adds to `verify_file`."""
    for name in ("wrong_methods", "no_regress", "wrong_classes", "no_scores", "wrong_regress"):
        assert "result" in check(FILE, models / name, hop="saved_model", on=["tensorflow_c"])


# ONNX


@pytest.fixture(scope="session")
def write_onnx(tmp_path_factory):
    """Writes the OR network as ONNX with weights that a function changed, and gives its path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def write(name, change=lambda weights: None, output="y"):
        weights = {key: value.astype(np.float32) for key, value in numpy_net.train(0).items()}
        change(weights)
        nodes = [
            helper.make_node("Gemm", ["x", "hidden.weight", "hidden.bias"], ["a"], transB=1),
            helper.make_node("Sigmoid", ["a"], ["b"]),
            helper.make_node("Gemm", ["b", "output.weight", "output.bias"], ["c"], transB=1),
            helper.make_node("Sigmoid", ["c"], [output]),
        ]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 1])],
            [numpy_helper.from_array(value, key) for key, value in weights.items()],
        )
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
        onnx.checker.check_model(model, full_check=True)
        path = tmp_path_factory.mktemp("onnx") / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def swap(weights):
    weights["hidden.weight"] = weights["hidden.weight"][:, ::-1].copy()


def drop_bias(weights):
    weights["output.bias"] *= 0


ONNX = {"hop": "to_onnx", "on": ["onnxruntime"]}


def test_the_right_onnx_file_passes(check, write_onnx):
    [verdict] = check(FILE, write_onnx("right"), **ONNX)["parity"]["checks"]
    assert (verdict["runtime"], verdict["verdict"]) == ("onnxruntime", "verified")


@pytest.mark.parametrize("change", [swap, drop_bias])
@pytest.mark.parametrize("kinds", [["golden"], ["golden", "random", "edge", "huge"]])
def test_a_wrong_onnx_file_is_caught(check, write_onnx, change, kinds):
    message = failure(check(FILE, write_onnx("wrong", change), kinds=kinds, **ONNX))
    assert message.startswith("to_onnx in onnxruntime: y for ")
    check_row(message)


def test_the_truth_table_alone_would_not_see_swapped_inputs_in_its_classes(check, write_onnx):
    """Why the golden vectors hold asymmetric points: every row of the table is still in its class."""
    tolerant = replace(SPEC, tolerances={**SPEC.tolerances, "to_onnx": Tolerance(atol=1.0)})
    [verdict] = check(FILE, write_onnx("wrong", swap), spec=tolerant, **ONNX)["parity"]["checks"]
    assert {answer["vector"]: round(answer["outputs"]["y"][0]) for answer in verdict["answers"]} == {
        "0,0": 0,
        "0,1": 1,
        "1,0": 1,
        "1,1": 1,
    }


def test_a_wrong_output_name_in_onnx(check, write_onnx):
    message = failure(check(FILE, write_onnx("named", output="out"), **ONNX), SpecError)
    assert message == "to_onnx in onnxruntime: has the tensors ['out'], the spec says ['y float32[batch, 1]']"


# TFLite


@pytest.mark.parametrize("runtime", [*TFLITE, pytest.param("tflite_runtime", marks=needs_tflite_runtime)])
def test_the_right_tflite_file_passes(check, models, runtime):
    reply = check(FILE, models / "right.tflite", hop="tflite.float32", on=[runtime])
    [verdict] = reply["parity"]["checks"]
    assert (verdict["runtime"], verdict["verdict"]) == (runtime, "verified")
    assert "tensorflow" not in reply["modules"]


@pytest.mark.parametrize("name", ["swapped", "no_bias", "shifted"])
def test_a_wrong_tflite_file_is_caught(check, models, name):
    message = failure(check(FILE, models / f"{name}.tflite", hop="tflite.float32", on=TFLITE))
    assert message.startswith("tflite.float32 in ai_edge_litert: y for ")
    check_row(message)


# Runtimes that refuse, and runtimes that are absent

WIDE = replace(
    SPEC,
    name="wide",
    inputs=(TensorSpec("x", "float32", ("batch", 64), minimum=0.0, maximum=1.0),),
    outputs=(TensorSpec("y", "float32", ("batch", 64)),),
    # Weights and inputs in steps of 1/127 and 1/255, half a step off each, 64 of them in a sum: 0.38.
    tolerances={"tflite.dynamic": Tolerance(atol=0.4)},
)
REFUSAL = Refusal("tflite_runtime", "dynamic", "it has no FULLY_CONNECTED of version 12")


@pytest.fixture
def check_wide(check, models, tmp_path, spec_file, truth):
    """Verifies the file that tflite_runtime refuses and ai_edge_litert takes."""
    with np.load(models / "wide.npz") as entries:
        kernel, bias = entries["kernel"], entries["bias"]
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None]
    rows = np.random.default_rng(0).uniform(0, 1, (32, 64)).astype(np.float32)
    probes = [Probe(Kind.GOLDEN, "ramp", {"x": ramp}), Probe(Kind.RANDOM, "random", {"x": rows})]
    folder = tmp_path / "wide"
    folder.mkdir()
    write_probes(folder, probes)
    write_tensors(folder / "outputs.npz", {probe.name: {"y": probe.inputs["x"] @ kernel + bias} for probe in probes})
    wide = truth._replace(spec=spec_file(WIDE), probes=folder, outputs=folder / "outputs.npz")

    def checked(spec, on, **arguments):
        return check(
            FILE, models / "wide.dynamic.tflite", hop="tflite.dynamic", on=on, spec=spec, against=wide, **arguments
        )

    return checked


@needs_tflite_runtime
def test_a_refusal_that_the_spec_does_not_list_is_an_error(check_wide):
    message = failure(check_wide(WIDE, ["tflite_runtime", "ai_edge_litert"]), RuntimeRefusedError)
    assert message.startswith("tflite.dynamic: tflite_runtime refuses the file: ")
    assert "FULLY_CONNECTED version 12" in message
    assert message.endswith("if that is to be expected, say so under `refusals` in models/wide/spec.py")


@needs_tflite_runtime
@pytest.mark.parametrize(
    "other", [replace(REFUSAL, by="ai_edge_litert"), replace(REFUSAL, what="int8"), replace(REFUSAL, what="")]
)
def test_a_refusal_of_another_runtime_or_recipe_does_not_count(check_wide, other):
    failure(check_wide(replace(WIDE, refusals=(other,)), ["tflite_runtime"]), RuntimeRefusedError)


@needs_tflite_runtime
def test_a_refusal_that_the_spec_lists_is_a_verdict(check_wide):
    reply = check_wide(replace(WIDE, refusals=(REFUSAL,)), ["tflite_runtime", "ai_edge_litert"])
    refused, verified = reply["parity"]["checks"]
    assert refused.keys() == {"runtime", "verdict", "reason"}
    assert (refused["runtime"], refused["verdict"]) == ("tflite_runtime", "refused")
    assert refused["reason"].startswith("it has no FULLY_CONNECTED of version 12 (")
    assert (verified["runtime"], verified["verdict"]) == ("ai_edge_litert", "verified")
    assert reply["result"]["note"].startswith("tflite_runtime refused, max |difference| ")


@needs_tflite_runtime
def test_a_refusal_is_a_verdict_for_a_model_that_nobody_has_described(check_wide):
    reply = check_wide(WIDE, ["tflite_runtime", "ai_edge_litert"], is_lenient=True)
    refused, verified = reply["parity"]["checks"]
    assert (refused["runtime"], refused["verdict"]) == ("tflite_runtime", "refused")
    assert "FULLY_CONNECTED version 12" in refused["reason"]
    assert verified["verdict"] == "verified"
    message = failure(check_wide(WIDE, ["tflite_runtime"], is_lenient=True))
    assert message.startswith("tflite.dynamic: no runtime here took the file: ")


@needs_tflite_runtime
def test_a_file_that_every_runtime_refuses_is_an_error(check_wide):
    message = failure(check_wide(replace(WIDE, refusals=(REFUSAL,)), ["tflite_runtime"]))
    assert message.startswith("tflite.dynamic: no runtime here took the file: ")


def test_a_damaged_file_is_refused(check, models, tmp_path):
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes((models / "right.tflite").read_bytes()[:-100])
    message = failure(check(FILE, damaged, hop="tflite.float32", on=TFLITE), RuntimeRefusedError)
    assert "a damaged TFLite file" in message
    assert message.endswith("models/or_gate/spec.py")


def test_an_absent_runtime_is_a_verdict(check, models):
    runtimes = ["tflite_runtime", "ai_edge_litert"]
    reply = check(FILE, models / "right.tflite", hop="tflite.float32", on=runtimes, hidden=["tflite_runtime"])
    absent, verified = reply["parity"]["checks"]
    assert absent.keys() == {"runtime", "verdict", "reason"}
    assert (absent["runtime"], absent["verdict"]) == ("tflite_runtime", "absent")
    assert "tflite-runtime is not installed here" in absent["reason"]
    assert verified["verdict"] == "verified"
    assert reply["result"]["note"].startswith("tflite_runtime absent, max |difference| ")


def test_without_any_runtime_nothing_is_verified(check, models):
    hidden = ["tflite_runtime", "ai_edge_litert"]
    message = failure(check(FILE, models / "right.tflite", hop="tflite.float32", on=hidden, hidden=hidden))
    assert message.startswith("tflite.float32: no runtime here took the file: ")
    assert "ai-edge-litert is not installed here" in message


def test_a_broken_file_is_caught_though_a_runtime_is_absent(check, models):
    runtimes = ["tflite_runtime", "ai_edge_litert"]
    reply = check(FILE, models / "swapped.tflite", hop="tflite.float32", on=runtimes, hidden=["tflite_runtime"])
    assert failure(reply).startswith("tflite.float32 in ai_edge_litert: ")


# Networks in their own framework


@pytest.mark.parametrize(("shift", "is_caught"), [(0.0, False), (1e-6, False), (1e-4, True), (math.nan, True)])
def test_a_trained_network_is_held_against_the_oracle(truth, tmp_path, shift, is_caught):
    expected = read_tensors(truth.outputs)
    outputs = {call: {"y": tensors["y"] + np.float32(shift)} for call, tensors in expected.items()}
    write_tensors(tmp_path / "actual.npz", outputs)

    def verify():
        return verify_network(
            out=tmp_path,
            spec=truth.spec,
            probes=truth.probes,
            hop="train",
            runtime="torch",
            actual=tmp_path / "actual.npz",
            expected=truth.outputs,
        )

    if is_caught:
        with pytest.raises(ParityError, match=r"^train in torch: y for .* over the tolerance of 1e-05"):
            verify()
    else:
        assert verify()["note"].startswith("max |difference| ")


def test_a_network_without_an_oracle_is_the_reference_itself(truth, tmp_path):
    arguments = {"spec": truth.spec, "probes": truth.probes, "hop": "load", "runtime": "onnxruntime"}
    assert verify_network(out=tmp_path, actual=truth.outputs, **arguments) == {"note": "4 of 4 right"}
    [check] = json.loads((tmp_path / "parity.json").read_text())["checks"]
    assert (check["verdict"], check["accuracy"]) == ("reference", {"right": 4, "of": 4})
    assert len(check["answers"]) == 4
    assert "max_abs_diff" not in check


def test_a_conversion_that_was_refused_is_passed_on_as_a_verdict(truth, tmp_path):
    converted = tmp_path / "converted"
    converted.mkdir()
    (converted / "refused.json").write_text(json.dumps({"by": "tflite_converter", "reason": "no such operator"}))
    result = verify_file(
        out=tmp_path,
        spec=truth.spec,
        hop="tflite.int8",
        probes=truth.probes,
        expected=truth.outputs,
        artifact=converted,
        name="model.tflite",
        on=TFLITE,
        kinds=["golden"],
    )
    assert result == {"note": "tflite_converter refused"}
    assert json.loads((tmp_path / "parity.json").read_text()) == {
        "hop": "tflite.int8",
        "checks": [{"runtime": "tflite_converter", "verdict": "refused", "reason": "no such operator"}],
    }
