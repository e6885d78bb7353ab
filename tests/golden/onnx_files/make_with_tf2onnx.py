"""Made tf2onnx_*.onnx beside this with tf2onnx 1.17.0 and tensorflow 2.15.1, in an environment of their own."""

import tensorflow as tf
import tf2onnx

OPSET = 15


def conv() -> tf.keras.Model:
    """Convolutions in NHWC, to which tf2onnx adds transposes."""
    image = tf.keras.Input([None, None, 3], name="image")
    x = tf.keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = tf.keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = tf.keras.layers.ReLU(6.0)(tf.keras.layers.BatchNormalization()(x))
    x = tf.keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(4, activation="softmax", name="scores")(x))


def text() -> tf.keras.Model:
    """Recurrent layers."""
    tokens = tf.keras.Input([None], name="tokens", dtype="int32")
    x = tf.keras.layers.Embedding(30, 8)(tokens)
    x = tf.keras.layers.Bidirectional(tf.keras.layers.LSTM(6, return_sequences=True))(x)
    return tf.keras.Model(tokens, tf.keras.layers.Dense(3)(tf.keras.layers.GRU(5)(x)))


@tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x"), tf.TensorSpec([], tf.int32, name="n")])
def loop(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """A condition in a loop; names with colons."""

    def body(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, tf.cond(tf.reduce_sum(x) > 0, lambda: x * 0.5 - 1.0, lambda: x + 1.0)

    return tf.while_loop(lambda i, x: i < n, body, [tf.constant(0), x])[1]


if __name__ == "__main__":
    tf.keras.utils.set_random_seed(0)
    image = tf.TensorSpec([None, None, None, 3], tf.float32, name="image")
    tf2onnx.convert.from_keras(conv(), [image], opset=OPSET, output_path="tf2onnx_conv.onnx")
    tokens = tf.TensorSpec([None, None], tf.int32, name="tokens")
    tf2onnx.convert.from_keras(text(), [tokens], opset=OPSET, output_path="tf2onnx_text.onnx")
    tf2onnx.convert.from_function(loop, loop.input_signature, opset=OPSET, output_path="tf2onnx_loop.onnx")
