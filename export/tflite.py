"""TFLite files, one a recipe, from the SavedModel that TF Serving gets."""

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from contract.errors import ConversionError
from contract.files import write_json
from export.recipes import Number, Recipe
from models import load_spec
from pipeline.stage import Result

__all__ = ["convert_tflite"]

_SIGNATURE = "serving_default"


def convert_tflite(*, out: Path, saved_model: Path, model: str, recipe: Mapping[str, Any]) -> Result:
    """Writes ``model.tflite``, and ``recipe.json`` with the recipe.

    Args:
        out: folder to write into.
        saved_model: the SavedModel.
        model: the model's name, for its representative data.
        recipe: a `Recipe` as a JSON object.

    Raises:
        ConversionError: TFLite's built-in operators do not cover the network, or it cannot be quantized so.
    """
    chosen = Recipe.from_dict(recipe)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[_SIGNATURE])
    _configure(converter, chosen)
    if chosen.needs_calibration:
        converter.representative_dataset = lambda: _calibration(model)
    try:
        content = converter.convert()
    except (ConverterError, ValueError, RuntimeError) as err:
        raise ConversionError(f"TFLite has no file by recipe {chosen.name} for this network: {_reason(err)}") from err
    (out / "model.tflite").write_bytes(content)
    write_json(out / "recipe.json", chosen.to_dict())
    return {"note": f"{len(content):,} bytes"}


def _reason(err: Exception) -> str:
    """The operators that are in the way, which the converter lists at the end of its report; else how it begins."""
    operators = re.findall(r"^(?:Custom|Flex) ops: (.+)$", str(err), re.MULTILINE)
    if operators:
        return f"no built-in operator for {', '.join(operators)}"
    return str(err).strip().partition("\n")[0]


def _configure(converter: tf.lite.TFLiteConverter, recipe: Recipe) -> None:
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if recipe.weights is Number.FLOAT32:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not recipe.per_channel_dense
    if recipe.weights is Number.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if recipe.activations is Number.INT8:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if recipe.activations is Number.INT16:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    if recipe.border is not Number.FLOAT32:
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(recipe.border.value)


def _calibration(model: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    data = importlib.import_module(load_spec(model).data)
    for inputs in data.representative_dataset():
        yield _SIGNATURE, inputs
