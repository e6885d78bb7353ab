"""Which inputs a hop is tried with."""

import sys
from types import ModuleType

import numpy as np
import pytest

from contract.errors import SpecError
from contract.model_spec import Framework, Method, ModelSpec, Network, Signature
from contract.tensor_spec import TensorSpec
from models.or_gate.data import golden_inputs
from models.or_gate.spec import SPEC
from pipeline.data import load_data
from pipeline.verify.probes import Kind, Probe, generate, make_probes, read_probes, write_probes
from pipeline.verify.tensor_files import read_tensors, write_tensors

X = TensorSpec("x", "float32", ("batch", 2))


def spec_of(*inputs, **fields) -> ModelSpec:
    """A spec of a model without data."""
    return ModelSpec(
        **{
            "name": "m",
            "inputs": inputs,
            "outputs": (TensorSpec("y", "float32", ("batch",)),),
            "signatures": (Signature("serving_default", Method.PREDICT),),
            "networks": (Network("net", Framework.TORCH, "net"),),
            **fields,
        }
    )


def probes(*inputs, **fields) -> list[Probe]:
    spec = spec_of(*inputs, **fields)
    return make_probes(spec, load_data(spec, None))


def or_gate() -> list[Probe]:
    return make_probes(SPEC, load_data(SPEC, None))


def by_name(made, kind=None):
    return {probe.name: probe.inputs for probe in made if kind in (None, probe.kind)}


def test_every_run_has_the_same_probes():
    first, second = or_gate(), or_gate()
    assert [(probe.kind, probe.name) for probe in first] == [(probe.kind, probe.name) for probe in second]
    for one, other in zip(first, second, strict=True):
        # Bytes tell -0.0 from 0.0.
        assert one.inputs["x"].tobytes() == other.inputs["x"].tobytes()


def test_another_model_has_other_random_inputs():
    one, other = (by_name(probes(X, name=name))["random"]["x"] for name in ("m", "n"))
    assert not np.array_equal(one, other)


def test_every_probe_has_a_name_of_its_own_and_fits_the_spec():
    made = or_gate()
    assert len({probe.name for probe in made}) == len(made)
    [spec] = SPEC.inputs
    for probe in made:
        assert probe.inputs.keys() == {"x"}
        spec.check(probe.inputs["x"].dtype.name, probe.inputs["x"].shape, where=probe.name)


def test_every_kind_is_there():
    assert {probe.kind for probe in or_gate()} == set(Kind) - {Kind.EVALUATION}


def test_golden_inputs_are_probes():
    made = by_name(or_gate(), Kind.GOLDEN)
    assert list(made) == list(golden_inputs())
    for name, inputs in golden_inputs().items():
        np.testing.assert_array_equal(made[name]["x"], inputs["x"])


def test_golden_inputs_have_their_labels():
    labels = {probe.name: probe.labels.tolist() for probe in or_gate() if probe.labels is not None}
    assert labels == {"0,0": [0], "0,1": [1], "1,0": [1], "1,1": [1]}


def test_without_data_golden_inputs_are_made_up():
    made = by_name(probes(X), Kind.GOLDEN)
    assert [inputs["x"].shape for inputs in made.values()] == [(1, 2)] * 4


def test_random_inputs_fill_the_range():
    [x] = [inputs["x"] for inputs in by_name(or_gate(), Kind.RANDOM).values()]
    assert x.shape == (64, 2)
    assert 0 <= x.min() < 0.1
    assert 0.9 < x.max() <= 1
    assert len(np.unique(x)) == x.size
    assert not np.array_equal(x[:, 0], x[:, 1])


EDGES = {
    "zero": [[0, 0]],
    "minus zero": [[-0.0, -0.0]],
    "tiny": [[np.finfo(np.float32).tiny, np.finfo(np.float32).smallest_subnormal]],
    "low end": [[0, 0]],
    "high end": [[1, 1]],
    "both ends": [[0, 1]],
}


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("edge", EDGES)
def test_edge_inputs(edge, batch):
    x = by_name(or_gate(), Kind.EDGE)[f"{edge}, batch {batch}"]["x"]
    wanted = np.array(EDGES[edge], np.float32).repeat(batch, axis=0)
    assert x.tobytes() == wanted.tobytes()


def test_no_edge_is_missing():
    edges = {name.rpartition(",")[0] for name in by_name(or_gate(), Kind.EDGE)}
    assert edges == EDGES.keys()


def test_huge_inputs_lie_far_outside_the_range():
    huge = [inputs["x"] for inputs in by_name(or_gate(), Kind.HUGE).values()]
    assert {float(x.flat[0]) for x in huge} == {float(np.float32(v)) for v in (1e4, -1e4, 1e15, -1e15)}
    assert all(np.isfinite(x).all() and (x == x.flat[0]).all() for x in huge)


def test_range_without_bounds():
    made = by_name(probes(TensorSpec("x", "float32", ("batch", 3))))
    assert made["low end, batch 1"]["x"].tolist() == [[-3, -3, -3]]
    assert made["high end, batch 1"]["x"].tolist() == [[3, 3, 3]]
    assert -3 <= made["random"]["x"].min() < -2
    assert 2 < made["random"]["x"].max() <= 3


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("minimum", "maximum"), [(10, None), (None, -10), (0, None), (None, 1)])
def test_range_with_one_bound(dtype, minimum, maximum):
    spec = TensorSpec("x", dtype, ("batch", 3), minimum=minimum, maximum=maximum)
    made = by_name(probes(spec))
    assert len(np.unique(made["random"]["x"])) > 2
    for name in ("random", "both ends, batch 7", "low end, batch 1", "high end, batch 1"):
        assert made[name]["x"].min() >= (-np.inf if minimum is None else minimum)
        assert made[name]["x"].max() <= (np.inf if maximum is None else maximum)


@pytest.mark.parametrize(("low", "high"), [(0, 9), (5, 9), (-9, -5)])
def test_integers_stay_in_their_range(low, high):
    spec = TensorSpec("token", "int64", ("batch", 4), minimum=low, maximum=high)
    made = probes(spec)
    for probe in made:
        assert probe.inputs["token"].dtype == np.int64
        assert probe.inputs["token"].min() >= low
        assert probe.inputs["token"].max() <= high
    assert set(by_name(made)["random"]["token"].flat) == set(range(low, high + 1))
    assert by_name(made)["both ends, batch 1"]["token"].tolist() == [[low, high, low, high]]


def test_integers_without_bounds_fit_a_table_of_two_rows():
    for probe in probes(TensorSpec("token", "int32", ("batch", 4))):
        assert set(probe.inputs["token"].flat) <= {0, 1}


def test_truth_values_are_both():
    made = by_name(probes(TensorSpec("mask", "bool", ("batch", 4))))
    assert made["random"]["mask"].dtype == np.bool_
    assert set(made["random"]["mask"].flat) == {True, False}


def test_integers_are_never_huge():
    x, token = TensorSpec("x", "float32", ("batch",)), TensorSpec("token", "int32", ("batch",))
    assert Kind.HUGE in {probe.kind for probe in probes(x, huge_inputs=True)}
    assert Kind.HUGE not in {probe.kind for probe in probes(token, huge_inputs=True)}
    assert Kind.HUGE not in {probe.kind for probe in probes(x, token, huge_inputs=True)}


def test_nothing_is_huge_unless_the_spec_says_that_it_may():
    assert Kind.HUGE not in {probe.kind for probe in probes(X)}


def test_integers_without_a_sign_are_not_negative_by_wrapping():
    for probe in probes(TensorSpec("pixel", "uint8", ("batch", 2))):
        assert probe.inputs["pixel"].max() <= 3


def test_half_floats_are_huge_without_being_infinite():
    for probe in probes(TensorSpec("x", "float16", ("batch", 2)), huge_inputs=True):
        assert np.isfinite(probe.inputs["x"]).all()


def test_axes_of_one_name_have_one_size():
    a, b = TensorSpec("a", "float32", ("batch", "length")), TensorSpec("b", "float32", ("batch",))
    for inputs in by_name(probes(a, b), Kind.EDGE).values():
        assert len(inputs["a"]) == len(inputs["b"])


def sizes(made: list[Probe], axis: int, kind: Kind) -> set[int]:
    return {probe.inputs["x"].shape[axis] for probe in made if probe.kind is kind}


def test_every_dynamic_axis_is_tried_with_two_sizes_and_never_only_with_that_of_another():
    made = probes(TensorSpec("x", "float32", ("batch", "time", 1)))
    assert sizes(made, 0, Kind.EDGE) == {1, 7}
    assert sizes(made, 1, Kind.EDGE) == sizes(made, 1, Kind.RANDOM) == {3, 5}
    assert list(by_name(made, Kind.RANDOM)) == ["random, time 3", "random, time 5"]


def test_the_spec_chooses_the_sizes():
    made = probes(TensorSpec("x", "float32", ("batch", "time", 1)), axis_sizes={"time": (1, 5, 40), "batch": (2, 3)})
    assert sizes(made, 1, Kind.RANDOM) == sizes(made, 1, Kind.EDGE) == {1, 5, 40}
    assert sizes(made, 0, Kind.EDGE) == {2, 3}
    assert sizes(made, 0, Kind.RANDOM) == {3}


def test_fixed_shapes_stay_as_they_are():
    assert {probe.inputs["x"].shape for probe in probes(TensorSpec("x", "float32", (2, 3)))} == {(2, 3)}


def test_large_inputs_come_in_fewer_rows():
    [random] = by_name(probes(TensorSpec("x", "float32", ("batch", 400, 400))), Kind.RANDOM).values()
    assert len(random["x"]) == 6


def test_strings_are_drawn_from_a_few_words_and_have_no_edges():
    word = TensorSpec("word", "object", ("batch", 2))
    made = probes(word)
    assert {probe.kind for probe in made} == {Kind.GOLDEN, Kind.RANDOM}
    assert {type(item) for probe in made for item in probe.inputs["word"].flat} == {bytes}
    mixed = by_name(probes(word, X), Kind.EDGE)["zero, batch 7"]
    assert mixed["x"].shape == mixed["word"].shape == (7, 2)


def data_module(monkeypatch, **functions) -> str:
    module = ModuleType("test_data")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, "test_data", module)
    return "test_data"


def test_the_strings_of_the_data_are_used(monkeypatch):
    call = {"word": np.array([b"cat", b"dog"], object)}
    data = data_module(monkeypatch, golden_inputs=lambda: {"pets": call})
    [random] = by_name(probes(TensorSpec("word", "object", ("batch",)), data=data), Kind.RANDOM).values()
    assert set(random["word"].flat) == {b"cat", b"dog"}


def test_labelled_data_is_among_the_probes(monkeypatch):
    rows = {"x": np.zeros((3, 2), np.float32)}
    data = data_module(monkeypatch, evaluation=lambda: iter([(rows, np.array([0, 1, 0]))]))
    [probe] = [probe for probe in probes(X, data=data) if probe.kind is Kind.EVALUATION]
    assert probe.labels is not None
    assert probe.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"z": np.zeros((1, 2), np.float32)}, r"golden input 'bad': has \['z'\], the spec says x float32\[batch, 2\]"),
        ({"x": np.zeros((1, 3), np.float32)}, r"the spec says x float32\[batch, 2\], but here it is float32\[1, 3\]"),
        ({"x": np.zeros((1, 2))}, r"but here it is float64\[1, 2\]"),
        ({"x": np.full((1, 2), np.nan, np.float32)}, "x holds NaN or infinity"),
    ],
)
def test_data_that_does_not_fit_the_spec_is_refused(monkeypatch, spec_file, tmp_path, given, message):
    data = data_module(monkeypatch, golden_inputs=lambda: {"bad": given})
    with pytest.raises(SpecError, match=f"test_data: .*{message}"):
        generate(out=tmp_path, spec=spec_file(spec_of(X, data=data)))
    assert list(tmp_path.iterdir()) == []


def test_probes_round_trip_through_files(tmp_path):
    made = or_gate()
    write_probes(tmp_path, made)
    for probe, again in zip(made, read_probes(tmp_path), strict=True):
        assert (probe.kind, probe.name) == (again.kind, again.name)
        assert probe.inputs["x"].tobytes() == again.inputs["x"].tobytes()
        assert (probe.labels is None) == (again.labels is None)


def test_tensors_round_trip_through_a_file(tmp_path):
    calls = {
        "0.2,0.9": {"x": np.array([[0.2, 0.9]], np.float32), "n": np.array([3])},
        "a/b": {"x": np.array([np.nan, -0.0])},
        "no rows": {"x": np.zeros((0, 3), np.int8)},
    }
    write_tensors(tmp_path / "calls.npz", calls)
    read = read_tensors(tmp_path / "calls.npz")
    assert {call: tensors.keys() for call, tensors in read.items()} == {c: t.keys() for c, t in calls.items()}
    for call, tensors in calls.items():
        for name, value in tensors.items():
            assert read[call][name].dtype == value.dtype
            assert read[call][name].tobytes() == value.tobytes()


def test_strings_round_trip_byte_by_byte(tmp_path):
    words = np.array([[b"", b"a\0"], ["Größe".encode(), b"\xff\0\0"]], object)
    write_tensors(tmp_path / "calls.npz", {"call": {"word": words, "none": np.zeros((0,), object)}})
    read = read_tensors(tmp_path / "calls.npz")["call"]
    assert read["word"].tolist() == words.tolist()
    assert (read["none"].shape, read["none"].dtype) == ((0,), np.dtype(object))


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "calls.npz", **{"call/x": np.array([{"any": "object"}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        read_tensors(tmp_path / "calls.npz")
