"""The network as TensorFlow 1 had it, and as the blog post shows it: the whole graph first, then a session runs it."""

import tensorflow as tf

from contract.arrays import Array
from models.or_gate.data import training_rows
from models.or_gate.training import DEFAULTS, TrainConfig, Weights, initial_weights

__all__ = ["forward", "gradients", "train"]

v1 = tf.compat.v1


def forward(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Adds the network to the current graph: ``x`` [batch, 2] to ``y`` [batch, 1], the probability of 1.

    Its variables are ``hidden/kernel``, ``hidden/bias``, ``output/kernel`` and ``output/bias``; a second call in a
    scope that reuses variables shares them.
    """
    return {"y": tf.sigmoid(_logit(inputs["x"]))}


def _logit(x: tf.Tensor) -> tf.Tensor:
    return _dense(tf.sigmoid(_dense(x, 2, "hidden")), 1, "output")


def _dense(values: tf.Tensor, units: int, scope: str) -> tf.Tensor:
    with v1.variable_scope(scope):
        kernel = v1.get_variable("kernel", (values.shape[-1], units), use_resource=True)
        return tf.matmul(values, kernel) + v1.get_variable("bias", (units,), use_resource=True)


def _start(start: Weights) -> dict[str, Array]:
    """The common weights under the names of the variables; a kernel is [inputs, outputs]."""
    return {
        "hidden/kernel": start["hidden.weight"].T,
        "hidden/bias": start["hidden.bias"],
        "output/kernel": start["output.weight"].T,
        "output/bias": start["output.bias"],
    }


class _TrainingGraph:
    """The graph with the loss and what descends it, and a session that holds the variables."""

    def __init__(self, seed: int, learning_rate: float) -> None:
        with tf.Graph().as_default() as graph:
            self.x = v1.placeholder(tf.float32, (None, 2))
            self.target = v1.placeholder(tf.float32, (None, 1))
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=self.target, logits=_logit(self.x)))
            optimizer = v1.train.GradientDescentOptimizer(learning_rate)
            slopes = optimizer.compute_gradients(loss)
            self.gradients = {variable.op.name: slope for slope, variable in slopes}
            self.step = optimizer.apply_gradients(slopes)
            self.variables = {variable.op.name: variable for variable in v1.global_variables()}
        start = _start(initial_weights(seed))
        # -1: run in this thread; handing each of the few small operations to another costs more than it takes.
        config = v1.ConfigProto(inter_op_parallelism_threads=-1, intra_op_parallelism_threads=1)
        self.session = v1.Session(graph=graph, config=config)
        self.session.run(
            [variable.initializer for variable in self.variables.values()],
            {variable.initializer.inputs[1]: start[name] for name, variable in self.variables.items()},
        )


def gradients(seed: int, x: Array, target: Array) -> dict[str, Array]:
    """Gradient of the mean binary cross-entropy at the seed's starting weights, by variable name."""
    net = _TrainingGraph(seed, learning_rate=0.0)
    with net.session as session:
        slopes: dict[str, Array] = session.run(net.gradients, {net.x: x, net.target: target})
        return slopes


def train(seed: int, config: TrainConfig = DEFAULTS) -> dict[str, Array]:
    """The trained variables by name, float32."""
    net = _TrainingGraph(seed, config.learning_rate)
    x, target = training_rows()
    with net.session as session:
        # make_callable prepares the call once; session.run would do so at each of the steps.
        descend = session.make_callable(net.step, feed_list=[net.x, net.target])
        for _ in range(config.steps):
            descend(x, target)
        trained: dict[str, Array] = session.run(net.variables)
        return trained
