"""Which inputs a hop is tried with."""

import numpy as np
import pytest

from contract.golden import Golden, GoldenVector
from contract.tensor_spec import TensorSpec
from models.or_gate.data import golden_inputs
from models.or_gate.spec import SPEC
from pipeline.verify.probes import Kind, make_probes, read_tensors, write_tensors

VECTORS = tuple(GoldenVector(name, inputs, {}) for name, inputs in golden_inputs().items())
OR_GATE = Golden("or_gate", 0, SPEC.inputs, SPEC.outputs, VECTORS)


def golden(*inputs, model="m"):
    return Golden(model, 0, inputs, (), ())


def by_name(probes, kind=None):
    return {probe.name: probe.inputs for probe in probes if kind in (None, probe.kind)}


def test_every_run_has_the_same_probes():
    first, second = make_probes(OR_GATE), make_probes(OR_GATE)
    assert [(probe.kind, probe.name) for probe in first] == [(probe.kind, probe.name) for probe in second]
    for one, other in zip(first, second, strict=True):
        # Bytes tell -0.0 from 0.0.
        assert one.inputs["x"].tobytes() == other.inputs["x"].tobytes()


def test_another_model_has_other_random_inputs():
    x = TensorSpec("x", "float32", ("batch", 2))
    one, other = (by_name(make_probes(golden(x, model=model)))["random"]["x"] for model in ("m", "n"))
    assert not np.array_equal(one, other)


def test_every_probe_has_a_name_of_its_own_and_fits_the_spec():
    probes = make_probes(OR_GATE)
    assert len({probe.name for probe in probes}) == len(probes)
    [spec] = SPEC.inputs
    for probe in probes:
        assert probe.inputs.keys() == {"x"}
        spec.check(probe.inputs["x"].dtype.name, probe.inputs["x"].shape, where=probe.name)


def test_every_kind_is_there():
    assert {probe.kind for probe in make_probes(OR_GATE)} == set(Kind)


def test_golden_inputs_are_probes():
    probes = by_name(make_probes(OR_GATE), Kind.GOLDEN)
    assert list(probes) == list(golden_inputs())
    for name, inputs in golden_inputs().items():
        np.testing.assert_array_equal(probes[name]["x"], inputs["x"])


def test_random_inputs_fill_the_range():
    [x] = [inputs["x"] for inputs in by_name(make_probes(OR_GATE), Kind.RANDOM).values()]
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
    x = by_name(make_probes(OR_GATE), Kind.EDGE)[f"{edge}, batch {batch}"]["x"]
    wanted = np.array(EDGES[edge], np.float32).repeat(batch, axis=0)
    assert x.tobytes() == wanted.tobytes()


def test_no_edge_is_missing():
    edges = {name.rpartition(",")[0] for name in by_name(make_probes(OR_GATE), Kind.EDGE)}
    assert edges == EDGES.keys()


def test_huge_inputs_lie_far_outside_the_range():
    huge = [inputs["x"] for inputs in by_name(make_probes(OR_GATE), Kind.HUGE).values()]
    assert {float(x.flat[0]) for x in huge} == {float(np.float32(v)) for v in (1e4, -1e4, 1e15, -1e15)}
    assert all(np.isfinite(x).all() and (x == x.flat[0]).all() for x in huge)


def test_range_without_bounds():
    probes = by_name(make_probes(golden(TensorSpec("x", "float32", ("batch", 3)))))
    assert probes["low end, batch 1"]["x"].tolist() == [[-3, -3, -3]]
    assert probes["high end, batch 1"]["x"].tolist() == [[3, 3, 3]]
    assert -3 <= probes["random"]["x"].min() < -2
    assert 2 < probes["random"]["x"].max() <= 3


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("minimum", "maximum"), [(10, None), (None, -10), (0, None), (None, 1)])
def test_range_with_one_bound(dtype, minimum, maximum):
    spec = TensorSpec("x", dtype, ("batch", 3), minimum=minimum, maximum=maximum)
    probes = by_name(make_probes(golden(spec)))
    assert len(np.unique(probes["random"]["x"])) > 2
    for name in ("random", "both ends, batch 7", "low end, batch 1", "high end, batch 1"):
        assert probes[name]["x"].min() >= (-np.inf if minimum is None else minimum)
        assert probes[name]["x"].max() <= (np.inf if maximum is None else maximum)


def test_integers_stay_in_their_range():
    spec = TensorSpec("token", "int64", ("batch", 4), minimum=0, maximum=9)
    probes = make_probes(golden(spec))
    for probe in probes:
        assert probe.inputs["token"].dtype == np.int64
        assert probe.inputs["token"].min() >= 0
        assert probe.inputs["token"].max() <= 9
    assert set(by_name(probes)["random"]["token"].flat) == set(range(10))
    assert by_name(probes)["tiny, batch 1"]["token"].tolist() == [[1, 1, 1, 1]]
    assert by_name(probes)["both ends, batch 1"]["token"].tolist() == [[0, 9, 0, 9]]


def test_integers_are_never_huge():
    x, token = TensorSpec("x", "float32", ("batch",)), TensorSpec("token", "int32", ("batch",))
    assert Kind.HUGE in {probe.kind for probe in make_probes(golden(x))}
    assert Kind.HUGE not in {probe.kind for probe in make_probes(golden(token))}
    assert Kind.HUGE not in {probe.kind for probe in make_probes(golden(x, token))}


def test_integers_without_a_sign_are_not_negative_by_wrapping():
    for probe in make_probes(golden(TensorSpec("pixel", "uint8", ("batch", 2)))):
        assert probe.inputs["pixel"].max() <= 3


def test_half_floats_are_huge_without_being_infinite():
    for probe in make_probes(golden(TensorSpec("x", "float16", ("batch", 2)))):
        assert np.isfinite(probe.inputs["x"]).all()


def test_axes_of_one_name_have_one_size():
    a, b = TensorSpec("a", "float32", ("batch", "length")), TensorSpec("b", "float32", ("batch",))
    for inputs in by_name(make_probes(golden(a, b)), Kind.EDGE).values():
        assert len(inputs["a"]) == len(inputs["b"])


def test_tensors_round_trip_through_a_file(tmp_path):
    calls = {
        "0.2,0.9": {"x": np.array([[0.2, 0.9]], np.float32), "n": np.array([3])},
        "a/b": {"x": np.array([np.nan, -0.0])},
    }
    write_tensors(tmp_path / "calls.npz", calls)
    read = read_tensors(tmp_path / "calls.npz")
    assert {call: tensors.keys() for call, tensors in read.items()} == {c: t.keys() for c, t in calls.items()}
    for call, tensors in calls.items():
        for name, value in tensors.items():
            assert read[call][name].dtype == value.dtype
            assert read[call][name].tobytes() == value.tobytes()


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "calls.npz", **{"call/x": np.array([{"any": "object"}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        read_tensors(tmp_path / "calls.npz")
