"""The network in Keras 3 on TensorFlow; the training loop is one compiled graph."""

import keras
import numpy as np
import tensorflow as tf

from models.digits.data import training_rows
from models.digits.training import DEFAULTS, TrainConfig, batches

__all__ = ["build", "train"]


def build() -> keras.Model:
    """The network, not trained: ``image`` [batch, 8, 8], 0 to 1, to [batch, 10], the probability of each digit."""
    layers = keras.layers
    image = keras.Input((8, 8), name="image")
    x = layers.Reshape((8, 8, 1), name="channel")(image)  # one channel, where TensorFlow and TFLite want it
    for name, filters in (("conv1", 16), ("conv2", 24)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="output")(x))


def _start(seed: int) -> keras.Model:
    """The network with Keras's own initial weights, drawn from generators of its own: no global one is touched."""
    net = build()
    kernels = [variable for variable in net.trainable_variables if variable.name == "kernel"]
    seeds = np.random.default_rng(seed).integers(2**31, size=len(kernels))
    for kernel, its_seed in zip(kernels, seeds, strict=True):
        kernel.assign(keras.initializers.GlorotUniform(seed=int(its_seed))(kernel.shape))
    return net


def train(seed: int, config: TrainConfig = DEFAULTS) -> keras.Model:
    """The network, trained."""
    net = _start(seed)
    images, classes = map(tf.constant, training_rows())
    order = tf.constant(batches(seed, len(classes), config))
    rate = keras.optimizers.schedules.PolynomialDecay(config.learning_rate, len(order), end_learning_rate=0.0)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(net.trainable_variables)

    @tf.function
    def descend() -> None:
        for rows in order:
            with tf.GradientTape() as tape:
                scores = net(tf.gather(images, rows), training=True)
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(tf.gather(classes, rows), scores))
            slopes = tape.gradient(loss, [variable.value for variable in net.trainable_variables])
            optimizer.apply(slopes, net.trainable_variables)

    descend()
    return net
