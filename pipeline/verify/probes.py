"""The inputs on which two sides of a hop have to agree."""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from contract.arrays import Array, Tensors
from contract.errors import SpecError
from contract.files import write_json
from contract.model_spec import ModelSpec
from contract.tensor_spec import TensorSpec
from pipeline.data import Data, load_data
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.verify.tensor_files import read_tensors, write_tensors

__all__ = ["Kind", "Probe", "generate", "make_probes", "read_probes", "write_probes"]

_BATCHES = (1, 7)
_SIZES = (3, 5)
"""Sizes that a dynamic axis is tried with, unless the spec states others: the batch, and any other axis."""
_RANDOM_ROWS = 64
_RANDOM_VALUES = 1_000_000
"""A random input has this many values at most, down to two rows: 64 images would take minutes."""
_HUGE = (1e4, -1e4, 1e15, -1e15)
"""Past 1e20 or so TFLite's XNNPACK kernels give NaN for a sigmoid that every other runtime saturates."""
_UNBOUNDED = 3.0
"""Half the width of the range that stands in for a missing bound: what a normalised input rarely leaves."""
_WORDS = (b"", b"a", b"showdown", "Größe 9".encode())
"""Strings for an input that the data has none for."""
_GENERATED = 4
"""Golden vectors that are made up where the data has none."""


class Kind(Enum):
    """Where a probe's values come from."""

    GOLDEN = "golden"
    EVALUATION = "evaluation"
    RANDOM = "random"
    EDGE = "edge"
    HUGE = "huge"


Fill = Callable[[TensorSpec, tuple[int, ...]], Array]
"""Makes a tensor of a shape for a spec."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One call.

    Attributes:
        kind: where its values come from.
        name: unique; for messages.
        inputs: the input tensors.
        labels: the right class of each row, int64, or None where it is not known.
    """

    kind: Kind
    name: str
    inputs: Tensors
    labels: Array | None = None


def generate(*, out: Path, spec: Path, calibration: Path | None = None) -> Result:
    """Writes the probes of a model: see `write_probes`.

    Args:
        out: folder to write into.
        spec: the model's spec.
        calibration: see `pipeline.data.load_data`.

    Raises:
        SpecError: the data does not fit the spec.
    """
    model = read_spec(spec)
    probes = make_probes(model, load_data(model, calibration))
    for probe in probes:
        _check(probe, model)
    write_probes(out, probes)
    return {"note": f"{len(probes)} calls"}


def make_probes(spec: ModelSpec, data: Data) -> list[Probe]:
    """Golden inputs, labelled data, random inputs and edge inputs, each at several sizes, and huge inputs if wanted.

    The same for every run. Edge inputs are zeros, the ends of the range and the smallest numbers. Huge inputs lie far
    outside the range of the spec; only files that compute in floats are asked about them.
    """
    rng = np.random.default_rng(zlib.crc32(spec.name.encode()))
    random = partial(_random, rng=rng, words=_words(spec, data))
    sizes = _axis_sizes(spec)
    probes = [
        *_golden(spec, data, lambda: _call(spec.inputs, _at(sizes, 0), random)),
        *(
            Probe(Kind.EVALUATION, f"evaluation {i}", inputs, labels)
            for i, (inputs, labels) in enumerate(data.evaluation())
        ),
        *_random_probes(spec, sizes, random),
    ]
    if any(spec.dtype != "object" for spec in spec.inputs):
        probes += (
            Probe(Kind.EDGE, f"{name}, {_shown(at)}", _call(spec.inputs, at, _with_strings(fill, random)))
            for name, fill in _EDGES.items()
            for at in _each(sizes)
        )
    if spec.huge_inputs and all(spec.dtype.startswith("float") for spec in spec.inputs):
        probes += (
            Probe(Kind.HUGE, f"{v:g}", _call(spec.inputs, _at(sizes, 0), partial(_full, value=v))) for v in _HUGE
        )
    return probes


def write_probes(folder: Path, probes: Sequence[Probe]) -> None:
    """Writes ``probes.json``, which lists them, and ``inputs.npz``."""
    listed = [
        {"kind": p.kind.value, "name": p.name, "labels": None if p.labels is None else p.labels.tolist()}
        for p in probes
    ]
    write_json(folder / "probes.json", listed)
    write_tensors(folder / "inputs.npz", {probe.name: probe.inputs for probe in probes})


def read_probes(folder: Path) -> list[Probe]:
    """Reads what `write_probes` wrote."""
    listed: list[dict[str, Any]] = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    inputs = read_tensors(folder / "inputs.npz")
    return [
        Probe(
            Kind(entry["kind"]),
            entry["name"],
            inputs[entry["name"]],
            None if entry["labels"] is None else np.array(entry["labels"], np.int64),
        )
        for entry in listed
    ]


def _check(probe: Probe, spec: ModelSpec) -> None:
    where = f"{spec.data or 'the data'}: {probe.kind.value} input {probe.name!r}"
    if set(probe.inputs) != {tensor.name for tensor in spec.inputs}:
        raise SpecError(f"{where}: has {sorted(probe.inputs)}, the spec says {', '.join(map(str, spec.inputs))}")
    for tensor in spec.inputs:
        value = probe.inputs[tensor.name]
        tensor.check(value.dtype.name, value.shape, where=where)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise SpecError(f"{where}: {tensor.name} holds NaN or infinity")


def _golden(spec: ModelSpec, data: Data, generated: Callable[[], Tensors]) -> list[Probe]:
    given, labels = data.golden_inputs(), data.labels()
    calls = given or {f"random {i}": generated() for i in range(_GENERATED)}
    return [
        Probe(Kind.GOLDEN, name, inputs, np.array([labels[name]]) if name in labels else None)
        for name, inputs in calls.items()
    ]


def _random_probes(spec: ModelSpec, sizes: Mapping[str, tuple[int, ...]], random: Fill) -> list[Probe]:
    """One with many rows for each size of the other axes, where there are any."""
    batch = next(iter(spec.inputs[0].dynamic_axes.values()), "") if _has_batch(spec) else ""
    others = {axis: tried for axis, tried in sizes.items() if axis != batch}
    probes = []
    for at in _each(others):
        if batch:
            row = sum(math.prod(tensor.sized({**at, batch: 1})) for tensor in spec.inputs)
            rows = max(2, min(_RANDOM_ROWS, _RANDOM_VALUES // max(row, 1)))
            at = {batch: max(spec.axis_sizes.get(batch, (rows,))), **at}
        name = ", ".join(["random", *([_shown({axis: at[axis] for axis in others})] if others else [])])
        probes.append(Probe(Kind.RANDOM, name, _call(spec.inputs, at, random)))
    return probes


def _has_batch(spec: ModelSpec) -> bool:
    return 0 in spec.inputs[0].dynamic_axes


def _axis_sizes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """The sizes that each dynamic axis of the inputs is tried with, the batch first."""
    first = next(iter(spec.inputs[0].shape), None)
    axes = dict.fromkeys(axis for tensor in spec.inputs for axis in tensor.dynamic_axes.values())
    return {axis: tuple(spec.axis_sizes.get(axis, _BATCHES if axis == first else _SIZES)) for axis in axes}


def _at(sizes: Mapping[str, tuple[int, ...]], position: int) -> dict[str, int]:
    return {axis: tried[position % len(tried)] for axis, tried in sizes.items()}


def _each(sizes: Mapping[str, tuple[int, ...]]) -> list[dict[str, int]]:
    """Combinations in which each size of each axis is met."""
    return [_at(sizes, position) for position in range(max(map(len, sizes.values()), default=1))]


def _shown(at: Mapping[str, int]) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in at.items()) or "fixed"


def _call(specs: Iterable[TensorSpec], at: Mapping[str, int], fill: Fill) -> Tensors:
    return {spec.name: fill(spec, spec.sized(at)) for spec in specs}


def _words(spec: ModelSpec, data: Data) -> dict[str, list[bytes]]:
    """The strings that the data has for each input of strings."""
    names = [tensor.name for tensor in spec.inputs if tensor.dtype == "object"]
    if not names:
        return {}
    calls = [*data.golden_inputs().values(), *data.representative_dataset()]
    found = {name: sorted({word for call in calls for word in call[name].flat}) for name in names}
    return {name: words or list(_WORDS) for name, words in found.items()}


def _with_strings(fill: Fill, random: Fill) -> Fill:
    """Strings have no edges."""
    return lambda spec, shape: (random if spec.dtype == "object" else fill)(spec, shape)


def _bounds(spec: TensorSpec) -> tuple[float, float]:
    low, high = spec.minimum, spec.maximum
    kind = np.dtype(spec.dtype).kind
    if kind == "b" or (kind in "iu" and low is None and high is None):
        return 0.0, 1.0  # an index into a table that may have two rows only
    if low is None:
        low = 0.0 if kind == "u" else min(-_UNBOUNDED, (high or 0.0) - _UNBOUNDED)
    return low, max(_UNBOUNDED, low + _UNBOUNDED) if high is None else high


def _random(
    spec: TensorSpec, shape: tuple[int, ...], *, rng: np.random.Generator, words: Mapping[str, list[bytes]]
) -> Array:
    if spec.dtype == "object":
        chosen = np.empty(math.prod(shape), object)
        chosen[:] = [words[spec.name][i] for i in rng.integers(len(words[spec.name]), size=chosen.size)]
        return chosen.reshape(shape)
    low, high = _bounds(spec)
    if np.dtype(spec.dtype).kind in "iub":
        return rng.integers(int(low), int(high), shape, endpoint=True).astype(spec.dtype)
    return rng.uniform(low, high, shape).astype(spec.dtype)


def _full(spec: TensorSpec, shape: tuple[int, ...], *, value: float) -> Array:
    if np.dtype(spec.dtype).kind == "f":
        largest = float(np.finfo(spec.dtype).max)
        value = min(max(value, -largest), largest)
    else:
        value = min(max(value, _bounds(spec)[0]), _bounds(spec)[1])  # an index outside a table is an error
    return np.full(shape, value).astype(spec.dtype)


def _ends(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Low and high end in turn, so that the two never meet only in equal pairs."""
    return np.resize(np.array(_bounds(spec)), shape).astype(spec.dtype)


def _tiny(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """The smallest normal number and the smallest one at all, which some runtimes flush to zero."""
    if np.dtype(spec.dtype).kind != "f":
        return _full(spec, shape, value=1)
    info = np.finfo(spec.dtype)
    return np.resize(np.array([info.tiny, info.smallest_subnormal]), shape).astype(spec.dtype)


_EDGES: Mapping[str, Fill] = {
    "zero": partial(_full, value=0.0),
    "minus zero": partial(_full, value=-0.0),
    "tiny": _tiny,
    "low end": lambda spec, shape: _full(spec, shape, value=_bounds(spec)[0]),
    "high end": lambda spec, shape: _full(spec, shape, value=_bounds(spec)[1]),
    "both ends": _ends,
}
