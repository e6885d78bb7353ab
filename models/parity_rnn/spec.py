"""What the chain has to know of parity."""

from contract.model_spec import Framework, Method, ModelSpec, Network, Refusal, Signature
from contract.tensor_spec import TensorSpec

__all__ = ["SPEC"]

SPEC = ModelSpec(
    name="parity_rnn",
    inputs=(TensorSpec("bits", "float32", ("batch", "time", 1), minimum=0.0, maximum=1.0),),
    outputs=(TensorSpec("odd", "float32", ("batch", 1), minimum=0.0, maximum=1.0),),
    signatures=(Signature("serving_default", Method.PREDICT),),
    networks=(
        Network("pytorch", Framework.TORCH, "models.parity_rnn.torch_net"),
        Network("keras", Framework.KERAS, "models.parity_rnn.keras_net"),
    ),
    data="models.parity_rnn.data",
    axis_sizes={"time": (1, 5, 40)},
    refusals=(
        Refusal(
            "onnx-tf", "to_tensorflow", "GRU (ai.onnx, opset 18) as PyTorch has it, the reset gate behind the product"
        ),
        Refusal("tflite_converter", "int16x8", "calibration does not look into a While loop"),
    ),
)
