"""A recurrent layer that keeps its last state only, in operators that TFLite has."""

from typing import Any

import keras
import tensorflow as tf

__all__ = ["LastState"]


@keras.saving.register_keras_serializable("showdown")
class LastState(keras.layers.Layer):
    """Runs a recurrent cell over a sequence and gives its last state: [batch, time, features] to [batch, units].

    ``keras.layers.GRU`` computes the same, but collects every state in a list of tensors, for which TFLite lacks
    operators where batch or time are dynamic. A loop that carries the state alone needs none.
    """

    def __init__(self, cell: keras.layers.GRUCell, **options: Any) -> None:
        super().__init__(**options)
        self.cell = cell

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes the weights of the cell."""
        self.cell.build((shape[0], shape[2]))

    def call(self, sequence: tf.Tensor) -> tf.Tensor:
        """The state after the last position; zeros before the first."""
        length, units = tf.shape(sequence)[1], self.cell.units

        def step(position: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            _, [state] = self.cell(tf.gather(sequence, position, axis=1), [state])
            return position + 1, state

        _, state = tf.while_loop(
            lambda position, _: position < length,
            step,
            (tf.constant(0), tf.zeros([tf.shape(sequence)[0], units])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, units])),
        )
        return state

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[batch, units]."""
        return shape[0], self.cell.units

    def get_config(self) -> dict[str, Any]:
        """What `from_config` builds the layer of."""
        return {**super().get_config(), "cell": keras.saving.serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LastState":
        """The layer of a config."""
        return cls(keras.saving.deserialize_keras_object(config.pop("cell")), **config)
