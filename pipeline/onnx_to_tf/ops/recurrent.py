"""Recurrent layers: one loop over time for each direction.

What depends on the input alone is one multiplication outside of the loop. The outputs are written to a list that begins
as zeros: so TFLite, which has no lists, makes a tensor of it also where time and batch are unknown at conversion.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops", "quantized_long_short_term_memory"]

ops = Family("Recurrent")

Activation = Callable[[tf.Tensor], tf.Tensor]

Cell = Callable[[tf.Tensor, tuple[tf.Tensor, ...]], tuple[tf.Tensor, ...]]
"""One step: takes the input's share of the gates, [batch, gates * hidden], and the states, [batch, hidden] each, of
which the first is the output; gives the new states."""

_PLAIN: dict[str, Activation] = {
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "softsign": tf.nn.softsign,
    "softplus": tf.nn.softplus,
}

_WITH_ALPHA: dict[str, tuple[float, Callable[[tf.Tensor, float], tf.Tensor]]] = {
    "leakyrelu": (0.01, lambda x, alpha: tf.nn.leaky_relu(x, alpha)),
    "thresholdedrelu": (1.0, lambda x, alpha: tf.where(x > alpha, x, tf.zeros_like(x))),
    "elu": (1.0, lambda x, alpha: tf.where(x >= 0, x, alpha * (tf.exp(tf.minimum(x, 0)) - 1))),
}

_WITH_BOTH: dict[str, tuple[float, float, Callable[[tf.Tensor, float, float], tf.Tensor]]] = {
    "affine": (1.0, 0.0, lambda x, alpha, beta: alpha * x + beta),
    "scaledtanh": (1.0, 1.0, lambda x, alpha, beta: alpha * tf.tanh(beta * x)),
    "hardsigmoid": (0.2, 0.5, lambda x, alpha, beta: tf.clip_by_value(alpha * x + beta, 0, 1)),
}
"""With the defaults of ONNX's own operators, or where it has none of ONNX Runtime
(onnxruntime/core/providers/cpu/rnn/rnn_activation_functors.h)."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What all three have in common.

    Attributes:
        x: [time, batch, input].
        w, r: [directions, gates * hidden, input] and [directions, gates * hidden, hidden].
        b: [directions, 2 * gates * hidden], or None.
        lengths: of the sequences, [batch, 1], or None where all are as long as time.
        initial: the states to start with, [directions, batch, hidden] each.
    """

    x: tf.Tensor
    w: tf.Tensor
    r: tf.Tensor
    b: tf.Tensor | None
    lengths: tf.Tensor | None
    initial: tuple[tf.Tensor, ...]


@ops.register("RNN", 1, 7, 14, 22)
def rnn(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None = None,
    lengths: tf.Tensor | None = None,
    h: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """A simple recurrent layer: ``f(x W + h R + b)``."""
    inputs = _inputs(node, x, w, r, b, lengths, h)
    functions = _activations(node, ["Tanh"])
    clipped = _clip(node)

    def cell(direction: int) -> tuple[Cell, tf.Tensor | None]:
        (f,) = functions[direction]
        recurrent = inputs.r[direction]

        def step(share: tf.Tensor, states: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            return (f(clipped(share + tf.matmul(states[0], recurrent, transpose_b=True))),)

        return step, _joined_bias(inputs, direction)

    return _outputs(node, inputs, cell)


@ops.register("GRU", 1, 3, 7, 14, 22)
def gru(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None = None,
    lengths: tf.Tensor | None = None,
    h: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """A layer of gated recurrent units; gates in the order z (update), r (reset), h (hidden)."""
    inputs = _inputs(node, x, w, r, b, lengths, h)
    functions = _activations(node, ["Sigmoid", "Tanh"])
    clipped = _clip(node)
    size = _hidden(node, inputs)
    is_linear_first = bool(node.integer("linear_before_reset", 0))

    def cell(direction: int) -> tuple[Cell, tf.Tensor | None]:
        f, g = functions[direction]
        recurrent = inputs.r[direction]
        of_gates, of_hidden = recurrent[: 2 * size], recurrent[2 * size :]
        bias, hidden_bias = _joined_bias(inputs, direction), None
        if inputs.b is not None and is_linear_first:
            # The reset gate multiplies the recurrent share of the hidden gate with its bias: that one is not joined.
            own = inputs.b[direction]
            hidden_bias = own[5 * size :]
            bias = tf.concat([own[: 2 * size] + own[3 * size : 5 * size], own[2 * size : 3 * size]], 0)

        def step(share: tf.Tensor, states: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            (state,) = states
            gates = share[:, : 2 * size] + tf.matmul(state, of_gates, transpose_b=True)
            update, reset = f(clipped(gates[:, :size])), f(clipped(gates[:, size:]))
            if is_linear_first:
                linear = tf.matmul(state, of_hidden, transpose_b=True)
                recurrent_share = reset * (linear if hidden_bias is None else linear + hidden_bias)
            else:
                recurrent_share = tf.matmul(reset * state, of_hidden, transpose_b=True)
            hidden = g(clipped(share[:, 2 * size :] + recurrent_share))
            return ((1 - update) * hidden + update * state,)

        return step, bias

    return _outputs(node, inputs, cell)


@ops.register("LSTM", 1, 7, 14, 22)
def lstm(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None = None,
    lengths: tf.Tensor | None = None,
    h: tf.Tensor | None = None,
    c: tf.Tensor | None = None,
    p: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """A layer of long short-term memory; gates in the order i (input), o (output), f (forget), c (cell).

    Peepholes, ``p``, are [directions, 3 * hidden] in the order i, o, f. What the gates' functions are fed is
    clipped, and not the cell's state: as in ONNX Runtime.
    """
    return _long_short_term_memory(node, _inputs(node, x, w, r, b, lengths, h, c), p, lambda state: state)


def quantized_long_short_term_memory(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None,
    lengths: tf.Tensor | None,
    h: tf.Tensor | None,
    c: tf.Tensor | None,
    p: tf.Tensor | None,
    rounded: Activation,
) -> tuple[tf.Tensor, ...]:
    """As `lstm`, with the input and each step's output rounded by a function before they are multiplied."""
    return _long_short_term_memory(node, _inputs(node, rounded(x), w, r, b, lengths, h, c), p, rounded)


def _long_short_term_memory(
    node: Node, inputs: _Inputs, p: tf.Tensor | None, multiplied: Activation
) -> tuple[tf.Tensor, ...]:
    functions = _activations(node, ["Sigmoid", "Tanh", "Tanh"])
    clipped = _clip(node)
    is_coupled = bool(node.integer("input_forget", 0))

    def cell(direction: int) -> tuple[Cell, tf.Tensor | None]:
        f, g, of_cell = functions[direction]
        recurrent = inputs.r[direction]
        peepholes = None if p is None else tf.split(p[direction], 3)

        def step(share: tf.Tensor, states: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            state, memory = states
            gates = tf.split(share + tf.matmul(multiplied(state), recurrent, transpose_b=True), 4, axis=1)
            i, o, forget, new = gates
            if peepholes is not None:
                i, forget = i + peepholes[0] * memory, forget + peepholes[2] * memory
            i = f(clipped(i))
            forget = 1 - i if is_coupled else f(clipped(forget))
            memory = forget * memory + i * g(clipped(new))
            if peepholes is not None:
                o += peepholes[1] * memory
            return f(clipped(o)) * of_cell(memory), memory

        return step, _joined_bias(inputs, direction)

    return _outputs(node, inputs, cell)


def _inputs(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None,
    lengths: tf.Tensor | None,
    *initial: tf.Tensor | None,
) -> _Inputs:
    is_batch_first = bool(node.integer("layout", 0))
    if is_batch_first:
        x = tf.transpose(x, [1, 0, 2])
        initial = tuple(None if state is None else tf.transpose(state, [1, 0, 2]) for state in initial)
    directions = 2 if _direction(node) == "bidirectional" else 1
    hidden = r.shape[2] if r.shape[2] is not None else tf.shape(r)[2]
    batch = x.shape[1] if x.shape[1] is not None else tf.shape(x)[1]
    known = node.static_integers(lengths)
    if known is not None and x.shape[0] is not None and all(length == x.shape[0] for length in known):
        lengths = None
    return _Inputs(
        x,
        w,
        r,
        b,
        None if lengths is None else lengths[:, tf.newaxis],
        tuple(
            tf.zeros(tf.stack([directions, batch, hidden]), x.dtype) if state is None else state for state in initial
        ),
    )


def _direction(node: Node) -> str:
    direction = node.text("direction", "forward").lower()
    if direction not in ("forward", "reverse", "bidirectional"):
        raise node.unsupported(f"its direction is {direction!r}; forward, reverse and bidirectional there are")
    return direction


def _hidden(node: Node, inputs: _Inputs) -> int:
    size = inputs.r.shape[2] or node.integer("hidden_size")
    return int(size)


def _joined_bias(inputs: _Inputs, direction: int) -> tf.Tensor | None:
    """The bias of input and of recurrence, which are added to the same: [gates * hidden]."""
    return None if inputs.b is None else tf.add(*tf.split(inputs.b[direction], 2))


def _outputs(
    node: Node, inputs: _Inputs, cell: Callable[[int], tuple[Cell, tf.Tensor | None]]
) -> tuple[tf.Tensor, ...]:
    """Runs each direction: [time, directions, batch, hidden], and the last states, [directions, batch, hidden] each."""
    direction = _direction(node)
    reversed_ = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    runs = [
        _run(node, inputs, index, *cell(index), is_reversed=is_reversed) for index, is_reversed in enumerate(reversed_)
    ]
    states = [tf.stack(last, axis=0) for last in zip(*(last for _, last in runs), strict=True)]
    is_batch_first = bool(node.integer("layout", 0))
    if is_batch_first:
        states = [tf.transpose(state, [1, 0, 2]) for state in states]
    if not node.wants(0):
        return (states[0], *states)
    every = tf.stack([output for output, _ in runs], axis=1)
    return (tf.transpose(every, [2, 0, 1, 3]) if is_batch_first else every, *states)


def _run(
    node: Node, inputs: _Inputs, direction: int, cell: Cell, bias: tf.Tensor | None, *, is_reversed: bool
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """One direction: its outputs, [time, batch, hidden], and its last states.

    Backwards it begins at the last step: where a sequence is shorter its states stay as they are up to its own last
    step, which comes to the same as reversing each within its length.
    """
    x, size = inputs.x, _hidden(node, inputs)
    time = tf.shape(x)[0]
    share = _projected(x, inputs.w[direction])
    share = share if bias is None else share + bias
    shares = tf.TensorArray(x.dtype, size=time, element_shape=share.shape[1:]).unstack(share)
    initial = tuple(state[direction] for state in inputs.initial)
    batch = x.shape[1] if x.shape[1] is not None else tf.shape(x)[1]
    for state in initial:
        state.set_shape([x.shape[1], size])
    outputs = tf.TensorArray(x.dtype, size=time, element_shape=[x.shape[1], size])
    outputs = outputs.unstack(tf.zeros(tf.stack([time, batch, size]), x.dtype))

    def body(
        step: tf.Tensor, states: tuple[tf.Tensor, ...], outputs: tf.TensorArray
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.TensorArray]:
        now = time - 1 - step if is_reversed else step
        following = cell(shares.read(now), states)
        output = following[0]
        if inputs.lengths is not None:
            is_inside = now < tf.cast(inputs.lengths, tf.int32)
            following = tuple(tf.where(is_inside, new, old) for new, old in zip(following, states, strict=True))
            output = tf.where(is_inside, output, tf.zeros_like(output))
        for state in following:
            state.set_shape([x.shape[1], size])
        return step + 1, following, outputs.write(now, output) if node.wants(0) else outputs

    _, last, outputs = tf.while_loop(lambda step, *_: step < time, body, (0, initial, outputs))
    stacked = outputs.stack()
    stacked.set_shape([x.shape[0], x.shape[1], size])
    return stacked, last


def _projected(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """[time, batch, input] by [gates * hidden, input]: [time, batch, gates * hidden]."""
    flat = tf.matmul(tf.reshape(x, [-1, w.shape[1] or tf.shape(w)[1]]), w, transpose_b=True)
    gates = w.shape[0] or tf.shape(w)[0]
    time, batch = (length if length is not None else tf.shape(x)[axis] for axis, length in enumerate(x.shape[:2]))
    return tf.reshape(flat, tf.stack([time, batch, gates]))


def _clip(node: Node) -> Activation:
    if not node.has("clip"):
        return lambda x: x
    bound = node.number("clip")
    return lambda x: tf.clip_by_value(x, -bound, bound)


def _activations(node: Node, default: list[str]) -> list[list[Activation]]:
    """The functions of each direction. The parameters are in the order of those functions that have any."""
    directions = 2 if _direction(node) == "bidirectional" else 1
    names = node.texts("activations", None) or default * directions
    if len(names) != len(default) * directions:
        raise node.unsupported(f"it has {len(names)} activations; {len(default)} for each direction there are")
    alphas, betas = iter(node.numbers("activation_alpha", None)), iter(node.numbers("activation_beta", None))
    functions = [_activation(node, name, alphas, betas) for name in names]
    return [functions[start : start + len(default)] for start in range(0, len(functions), len(default))]


def _activation(node: Node, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    key = name.lower()
    if key in _PLAIN:
        return _PLAIN[key]
    if key in _WITH_ALPHA:
        usual, with_alpha = _WITH_ALPHA[key]
        alpha = next(alphas, usual)
        return lambda x: with_alpha(x, alpha)
    if key in _WITH_BOTH:
        usual_alpha, usual_beta, with_both = _WITH_BOTH[key]
        alpha, beta = next(alphas, usual_alpha), next(betas, usual_beta)
        return lambda x: with_both(x, alpha, beta)
    raise node.unsupported(f"its activation {name} is none of ONNX's")
