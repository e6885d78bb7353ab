"""The network in Keras 3 on TensorFlow; the training loop is one compiled graph, not 2,000 calls of ``fit``."""

import keras
import tensorflow as tf

from models.or_gate.data import training_rows
from models.or_gate.training import DEFAULTS, TrainConfig, initial_weights

__all__ = ["build", "gradients", "train"]


def build() -> keras.Model:
    """The network, not trained: ``x`` [batch, 2] to ``y`` [batch, 1], the probability of 1."""
    x = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(2, activation="sigmoid", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(1, activation="sigmoid", name="output")(hidden))


def gradients(net: keras.Model, x: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
    """Gradient of the mean binary cross-entropy with respect to each variable of ``net``, in their order."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.binary_crossentropy(target, net(x)))
    slopes: list[tf.Tensor] = tape.gradient(loss, [variable.value for variable in net.trainable_variables])
    return slopes


def _start(seed: int) -> keras.Model:
    net = build()
    start = initial_weights(seed)
    # A Dense kernel is [inputs, outputs].
    net.get_layer("hidden").set_weights([start["hidden.weight"].T, start["hidden.bias"]])
    net.get_layer("output").set_weights([start["output.weight"].T, start["output.bias"]])
    return net


def train(seed: int, config: TrainConfig = DEFAULTS) -> keras.Model:
    """The network, trained."""
    net = _start(seed)
    x, target = map(tf.constant, training_rows())

    @tf.function
    def descend() -> None:
        for _ in tf.range(config.steps):
            for variable, slope in zip(net.trainable_variables, gradients(net, x, target), strict=True):
                variable.value.assign_sub(config.learning_rate * slope)

    descend()
    return net
