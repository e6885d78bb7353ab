"""What is checked of a trained network before anything is built on it."""

from dataclasses import replace

import numpy as np
import pytest

from contract.errors import ConversionError, SpecError
from contract.tensor_spec import TensorSpec
from models.or_gate.spec import SPEC
from pipeline.train.outcome import named_outputs, save_outcome
from pipeline.verify.probes import read_probes
from pipeline.verify.tensor_files import read_tensors

NETWORK = SPEC.network("pytorch")
WEIGHTS = {"hidden.weight": np.ones((2, 2), np.float32), "hidden.bias": np.zeros(2, np.float32)}


def answer(inputs):
    return {"y": inputs["x"][:, :1]}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named_and_nothing_is_written(probes_of, tmp_path, bad):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConversionError) as caught:
        save_outcome(
            tmp_path / "out",
            SPEC,
            NETWORK,
            probes=probes_of(SPEC),
            weights={**WEIGHTS, "hidden.bias": np.array([0, bad], np.float32)},
            predict=answer,
        )
    assert str(caught.value).startswith(
        "network pytorch (models.or_gate.torch_net): weight hidden.bias holds NaN or infinity after training"
    )
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TypeError])
def test_a_network_that_does_not_take_the_inputs_is_quoted_beside_the_spec(probes_of, tmp_path, error):
    def refuse(inputs):
        raise error("2 wanted, not 3\nand much more")

    with pytest.raises(SpecError) as caught:
        save_outcome(tmp_path, SPEC, NETWORK, probes=probes_of(SPEC), weights=WEIGHTS, predict=refuse)
    assert str(caught.value) == (
        "network pytorch (models.or_gate.torch_net) does not take the inputs that models/or_gate/spec.py declares, "
        "x float32[batch, 2]: 2 wanted, not 3"
    )


def test_outputs_of_other_names_are_refused(probes_of, tmp_path):
    def misname(inputs):
        return {"z": inputs["x"][:, :1]}

    with pytest.raises(SpecError, match=r"gives \['z'\], the spec says y float32\[batch, 1\]"):
        save_outcome(tmp_path, SPEC, NETWORK, probes=probes_of(SPEC), weights=WEIGHTS, predict=misname)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (lambda x: x[:, :1].astype(np.float64), "float64[1, 1]"),
        (lambda x: x, "float32[1, 2]"),
        (lambda x: x[:, 0], "float32[1]"),
    ],
)
def test_an_output_of_another_dtype_or_shape_is_refused(probes_of, tmp_path, given, shown):
    with pytest.raises(SpecError) as caught:
        save_outcome(
            tmp_path,
            SPEC,
            NETWORK,
            probes=probes_of(SPEC),
            weights=WEIGHTS,
            predict=lambda inputs: {"y": given(inputs["x"])},
        )
    assert f"the spec says y float32[batch, 1], but here it is {shown}" in str(caught.value)


def test_weights_and_an_answer_to_every_probe_are_left_behind(probes_of, tmp_path):
    from safetensors.numpy import load_file

    probes = probes_of(SPEC)
    # A transposed array is not contiguous; safetensors would write it in the order of memory.
    weights = {**WEIGHTS, "hidden.weight": np.array([[1, 2], [3, 4]], np.float32).T}
    save_outcome(tmp_path, SPEC, NETWORK, probes=probes, weights=weights, predict=answer)
    saved = load_file(tmp_path / "weights.safetensors")
    assert {name: value.tolist() for name, value in saved.items()} == {
        "hidden.weight": [[1, 3], [2, 4]],
        "hidden.bias": [0, 0],
    }
    answers = read_tensors(tmp_path / "outputs.npz")
    assert set(answers) == {probe.name for probe in read_probes(probes)}
    for probe in read_probes(probes):
        np.testing.assert_array_equal(answers[probe.name]["y"], probe.inputs["x"][:, :1])


def test_several_outputs_are_each_checked(probes_of, tmp_path):
    spec = replace(SPEC, outputs=(*SPEC.outputs, TensorSpec("z", "int64", ("batch",))))

    def both(inputs):
        return {**answer(inputs), "z": np.zeros(len(inputs["x"]), np.int32)}

    with pytest.raises(SpecError, match=r"the spec says z int64\[batch\], but here it is int32\[1\]"):
        save_outcome(tmp_path, spec, NETWORK, probes=probes_of(spec), weights=WEIGHTS, predict=both)


def test_outputs_without_names_get_some():
    assert named_outputs([], ["a"]) == {"output": "a"}
    assert named_outputs((), ["a", "b"]) == {"output_0": "a", "output_1": "b"}


def test_sizes_that_a_network_does_not_take_are_shown_with_what_to_do(probes_of, tmp_path):
    spec = replace(
        SPEC, inputs=(TensorSpec("x", "float32", ("batch", "time")),), data="", oracle="", covers_range=False
    )

    def refuse(inputs):
        raise RuntimeError("kernel size can't be greater than input size")

    with pytest.raises(SpecError) as caught:
        save_outcome(tmp_path, spec, NETWORK, probes=probes_of(spec), weights=WEIGHTS, predict=refuse)
    assert "x float32[batch, time] at x [1, 3]: kernel size can't be greater" in str(caught.value)
    assert "--axis NAME=SIZE,SIZE" in str(caught.value)
