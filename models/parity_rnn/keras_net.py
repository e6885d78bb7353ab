"""The network in Keras 3 on TensorFlow: a GRU cell in a loop, and what its last state says."""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from contract.arrays import Array, FloatArray
from models.parity_rnn.last_state import LastState
from models.parity_rnn.training import DEFAULTS, UNITS, TrainConfig, Weights, chunks, holds, initial_weights, starts

__all__ = ["build", "train"]


def build() -> keras.Model:
    """The network, not trained: ``bits`` [batch, time, 1] to [batch, 1], the probability that the ones are odd."""
    bits = keras.Input((None, 1), name="bits")
    state = LastState(keras.layers.GRUCell(UNITS, name="cell"), name="recurrent")(bits)
    return keras.Model(bits, keras.layers.Dense(1, activation="sigmoid", name="odd")(state))


def train(seed: int, config: TrainConfig = DEFAULTS) -> keras.Model:
    """The network, trained; the first start that holds on long sequences."""
    net = build()
    cell, output = net.get_layer("recurrent").cell, net.get_layer("odd")

    def states(bits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """[batch, time, 1] to logits [batch, time], with something added to the state before each position."""
        state, found = tf.zeros_like(noise[0]), []
        for position in range(bits.shape[1]):
            _, [state] = cell(bits[:, position], [state + noise[position]])
            found.append(state)
        return (tf.stack(found, 1) @ output.kernel.value + output.bias.value)[..., 0]

    @tf.function(reduce_retracing=True)
    def logits(bits: tf.Tensor) -> tf.Tensor:
        return states(bits, tf.zeros([bits.shape[1], len(bits), UNITS]))

    for rng in starts(seed, config):
        _fill(net, initial_weights(rng))
        optimizer = keras.optimizers.Adam(config.learning_rate, epsilon=1e-8)
        optimizer.build(net.trainable_variables)

        @tf.function
        def descend(bits: tf.Tensor, odd: tf.Tensor, noise: tf.Tensor, optimizer: keras.Optimizer = optimizer) -> None:
            for step in tf.range(len(bits)):
                with tf.GradientTape() as tape:
                    loss = tf.nn.sigmoid_cross_entropy_with_logits(odd[step], states(bits[step], noise[step]))
                    mean = tf.reduce_mean(loss)
                slopes = tape.gradient(mean, [variable.value for variable in net.trainable_variables])
                optimizer.apply(slopes, net.trainable_variables)

        for chunk in chunks(rng, config):
            descend(*map(tf.constant, chunk))
            if holds(partial(_run, logits), config):
                return net
    raise AssertionError("starts() has raised")


def _run(logits: tf.types.experimental.GenericFunction, bits: FloatArray) -> Array:
    return np.asarray(logits(tf.constant(bits)).numpy())


def _fill(net: keras.Model, weights: Weights) -> None:
    """Sets the common weights; Keras has the gates in the order update, reset, new, and a column for each unit."""
    reset, update, new = (slice(gate * UNITS, (gate + 1) * UNITS) for gate in range(3))
    order = np.r_[update, reset, new]
    net.get_layer("recurrent").cell.set_weights(
        [
            weights["gru.weight_ih_l0"][order].T,
            weights["gru.weight_hh_l0"][order].T,
            np.stack([weights["gru.bias_ih_l0"][order], weights["gru.bias_hh_l0"][order]]),
        ]
    )
    net.get_layer("odd").set_weights([weights["output.weight"].T, weights["output.bias"]])
