"""What the chain has to know of the OR gate."""

from contract.model_spec import Framework, Method, ModelSpec, Network, Signature, Tolerance
from contract.tensor_spec import TensorSpec

__all__ = ["SPEC"]

SPEC = ModelSpec(
    name="or_gate",
    inputs=(TensorSpec("x", "float32", ("batch", 2), minimum=0.0, maximum=1.0),),
    outputs=(TensorSpec("y", "float32", ("batch", 1), minimum=0.0, maximum=1.0),),
    signatures=(
        Signature("serving_default", Method.PREDICT),
        Signature("classify", Method.CLASSIFY, output="y", classes=("0", "1")),
        Signature("regress", Method.REGRESS, output="y"),
    ),
    networks=(
        Network("pytorch", Framework.TORCH, "models.or_gate.torch_net"),
        Network("keras", Framework.KERAS, "models.or_gate.keras_net"),
        Network("static_graph", Framework.STATIC_GRAPH, "models.or_gate.static_graph"),
    ),
    data="models.or_gate.data",
    oracle="models.or_gate.numpy_net",
    converters=("showdown", "onnx-tf"),
    covers_range=True,
    huge_inputs=True,
    tolerances={
        # 2,000 steps in float32 against the oracle's float64; seen over seeds: 1.3e-6.
        "train": Tolerance(atol=1e-5),
        # The same float32 arithmetic in another order: a few units in the last place; seen: 4e-7.
        "to_onnx": Tolerance(atol=1e-6),
        "to_tensorflow": Tolerance(atol=1e-6),
        "saved_model": Tolerance(atol=1e-6),
        "tflite.float32": Tolerance(atol=1e-6),
        # TFLite leaves weights of fewer than 1,024 elements in float: this file computes what float32 does.
        "tflite.dynamic": Tolerance(atol=1e-6),
        # 11 bits of each weight; seen: 1.2e-3.
        "tflite.float16": Tolerance(atol=4e-3),
        # 8 bits of each weight and, in int8, of each activation; seen: 2.3e-2 and 8e-3.
        "tflite.int8": Tolerance(atol=5e-2),
        "tflite.int8_float_io": Tolerance(atol=5e-2),
        "tflite.int16x8": Tolerance(atol=2e-2),
    },
)
