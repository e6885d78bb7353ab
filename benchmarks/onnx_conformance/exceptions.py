"""The operator tests that are not passed, each with its reason: read by the tests and by the documentation."""

__all__ = ["AS_DEFINED", "EXCEPTIONS"]

AS_DEFINED = ("Attention",)
"""Operators that these tests are run with in the definition of onnx 1.18 instead of with our function.

Its definition of Attention splits the heads of three axes, repeats those of grouped queries, caps scores and numbers
the modes of its fourth output otherwise than onnx since 1.19 and than ONNX Runtime, with which our function agrees. A
file does not say which of the two it was made for.
"""

_INTERFACE = "a sequence or an optional is an input or an output, which a SavedModel's signature cannot have"
_IMAGES = "TensorFlow decodes JPEG, PNG, BMP and PPM; the format shows in the bytes only when the model runs"
_MASK = "the mask is drawn by NumPy's generator; ours is drawn by TensorFlow's"
_RANDOM = "random numbers: of the right distribution, but not NumPy's"
_CUT = "the expected values are cut off instead of rounded to the nearest; ONNX Runtime rounds, and so do newer tests"
_WRAPPED = "the expected values wrap around where the specification has them saturate; ONNX Runtime saturates"
_UNPOOLED = (
    "indices are taken in the inferred shape; ONNX Runtime takes them in output_shape, as MaxPool of odd sizes needs"
)
_EPSILON = "its data was made with an epsilon that its node does not state"

EXCEPTIONS: dict[str, str] = {
    "test_identity_opt": _INTERFACE,
    "test_identity_sequence": _INTERFACE,
    "test_if_opt": _INTERFACE,
    "test_if_seq": _INTERFACE,
    "test_loop13_seq": _INTERFACE,
    "test_loop16_seq_none": _INTERFACE,
    "test_optional_get_element_optional_sequence": _INTERFACE,
    "test_optional_get_element_optional_tensor": _INTERFACE,
    "test_optional_get_element_sequence": _INTERFACE,
    "test_optional_has_element_empty_optional_input": _INTERFACE,
    "test_optional_has_element_optional_input": _INTERFACE,
    "test_optional_has_element_tensor_input": _INTERFACE,
    "test_sequence_insert_at_back": _INTERFACE,
    "test_sequence_insert_at_front": _INTERFACE,
    "test_sequence_map_add_1_sequence_1_tensor": _INTERFACE,
    "test_sequence_map_add_2_sequences": _INTERFACE,
    "test_sequence_map_extract_shapes": _INTERFACE,
    "test_sequence_map_identity_1_sequence": _INTERFACE,
    "test_sequence_map_identity_1_sequence_1_tensor": _INTERFACE,
    "test_sequence_map_identity_2_sequences": _INTERFACE,
    "test_split_to_sequence_1": _INTERFACE,
    "test_split_to_sequence_2": _INTERFACE,
    "test_split_to_sequence_nokeepdims": _INTERFACE,
    "test_image_decoder_decode_jpeg2k_rgb": _IMAGES,
    "test_image_decoder_decode_tiff_rgb": _IMAGES,
    "test_image_decoder_decode_webp_rgb": _IMAGES,
    "test_training_dropout": _MASK,
    "test_training_dropout_default": _MASK,
    "test_training_dropout_default_mask": _MASK,
    "test_training_dropout_mask": _MASK,
    "test_bernoulli": _RANDOM,
    "test_bernoulli_double": _RANDOM,
    "test_bernoulli_seed": _RANDOM,
    "test_cast_FLOAT_to_BFLOAT16": _CUT,
    "test_castlike_FLOAT_to_BFLOAT16": _CUT,
    "test_qlinearmatmul_2D_int8_float16": _WRAPPED,
    "test_qlinearmatmul_2D_int8_float32": _WRAPPED,
    "test_qlinearmatmul_3D_int8_float16": _WRAPPED,
    "test_qlinearmatmul_3D_int8_float32": _WRAPPED,
    "test_maxunpool_export_with_output_shape": _UNPOOLED,
    "test_adam_multiple": _EPSILON,
}
"""Name of the test to the reason."""
