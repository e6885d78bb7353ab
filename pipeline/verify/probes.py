"""The inputs on which two sides of a hop have to agree."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np

from contract.arrays import Array, Tensors
from contract.golden import Golden
from contract.tensor_spec import TensorSpec

__all__ = ["Kind", "Probe", "make_probes", "read_tensors", "write_tensors"]

_BATCHES = (1, 7)
_RANDOM_ROWS = 64
_HUGE = (1e4, -1e4, 1e15, -1e15)
"""Past 1e20 or so TFLite's XNNPACK kernels give NaN for a sigmoid that every other runtime saturates."""
_UNBOUNDED = 3.0
"""Half the width of the range that stands in for a missing bound: what a normalised input rarely leaves."""


class Kind(Enum):
    """Where a probe's values come from."""

    GOLDEN = "golden"
    RANDOM = "random"
    EDGE = "edge"
    HUGE = "huge"


Fill = Callable[[TensorSpec, tuple[int, ...]], Array]
"""Makes a tensor of a shape for a spec."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One call: its kind, a name for messages, and the inputs."""

    kind: Kind
    name: str
    inputs: Tensors


def make_probes(golden: Golden) -> list[Probe]:
    """Golden inputs, random inputs, edge inputs (batch 1 and 7), and huge inputs, the same for every run.

    Huge inputs lie far outside the range of the spec; only files that compute in floats are asked about them.
    """
    rng = np.random.default_rng(zlib.crc32(golden.model.encode()))
    probes = [
        *(Probe(Kind.GOLDEN, vector.name, vector.inputs) for vector in golden.vectors),
        Probe(Kind.RANDOM, "random", _call(golden.inputs, _RANDOM_ROWS, partial(_random, rng=rng))),
        *(
            Probe(Kind.EDGE, f"{name}, batch {batch}", _call(golden.inputs, batch, fill))
            for name, fill in _EDGES.items()
            for batch in _BATCHES
        ),
    ]
    if all(spec.dtype.startswith("float") for spec in golden.inputs):
        probes += (Probe(Kind.HUGE, f"{v:g}", _call(golden.inputs, 2, partial(_full, value=v))) for v in _HUGE)
    return probes


def _call(specs: tuple[TensorSpec, ...], size: int, fill: Fill) -> Tensors:
    return {spec.name: fill(spec, spec.sized(dict.fromkeys(spec.dynamic_axes.values(), size))) for spec in specs}


def _bounds(spec: TensorSpec) -> tuple[float, float]:
    low = spec.minimum
    if low is None:
        is_unsigned = np.dtype(spec.dtype).kind == "u"
        low = 0.0 if is_unsigned else min(-_UNBOUNDED, (spec.maximum or 0.0) - _UNBOUNDED)
    high = max(_UNBOUNDED, low + _UNBOUNDED) if spec.maximum is None else spec.maximum
    return low, high


def _random(spec: TensorSpec, shape: tuple[int, ...], *, rng: np.random.Generator) -> Array:
    low, high = _bounds(spec)
    if np.dtype(spec.dtype).kind in "iu":
        return rng.integers(int(low), int(high), shape, endpoint=True).astype(spec.dtype)
    return rng.uniform(low, high, shape).astype(spec.dtype)


def _full(spec: TensorSpec, shape: tuple[int, ...], *, value: float) -> Array:
    if np.dtype(spec.dtype).kind == "f":
        largest = float(np.finfo(spec.dtype).max)
        value = min(max(value, -largest), largest)
    return np.full(shape, value).astype(spec.dtype)


def _ends(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Low and high end in turn, so that the two never meet only in equal pairs."""
    return np.resize(np.array(_bounds(spec)), shape).astype(spec.dtype)


def _tiny(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """The smallest normal number and the smallest one at all, which some runtimes flush to zero."""
    if np.dtype(spec.dtype).kind != "f":
        return np.ones(shape, spec.dtype)
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


def write_tensors(path: Path, calls: Mapping[str, Tensors]) -> None:
    """Writes the tensors of several calls as one .npz file; its entries are named ``<call>/<tensor>``."""
    np.savez(path, **{f"{call}/{name}": value for call, tensors in calls.items() for name, value in tensors.items()})


def read_tensors(path: Path) -> Mapping[str, Tensors]:
    """Reads what `write_tensors` wrote; never unpickles."""
    calls: dict[str, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as entries:
        for key in entries.files:
            call, _, name = key.rpartition("/")
            calls.setdefault(call, {})[name] = entries[key]
    return calls
