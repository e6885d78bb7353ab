"""What the chain has to know of the digits."""

from contract.model_spec import Framework, Method, ModelSpec, Network, Signature
from contract.tensor_spec import TensorSpec
from contract.tolerance import Tolerance

__all__ = ["SPEC"]

SPEC = ModelSpec(
    name="digits",
    inputs=(TensorSpec("image", "float32", ("batch", 8, 8), minimum=0.0, maximum=1.0),),
    outputs=(TensorSpec("probabilities", "float32", ("batch", 10), minimum=0.0, maximum=1.0),),
    signatures=(
        Signature("serving_default", Method.PREDICT),
        Signature("classify", Method.CLASSIFY, output="probabilities", classes=tuple("0123456789")),
    ),
    networks=(
        Network("pytorch", Framework.TORCH, "models.digits.torch_net"),
        Network("keras", Framework.KERAS, "models.digits.keras_net"),
    ),
    data="models.digits.data",
    tolerances={
        # 11 bits of each weight; seen: 7e-4.
        "tflite.float16": Tolerance(atol=5e-3),
        # 8 bits of each weight and, in the last three, of each activation; seen: 2e-2 and 5e-2. How good the files are
        # shows in their accuracy.
        "tflite.dynamic": Tolerance(atol=1e-1),
        "tflite.int8": Tolerance(atol=2e-1),
        "tflite.int8_float_io": Tolerance(atol=2e-1),
        "tflite.int16x8": Tolerance(atol=2e-1),
    },
)
