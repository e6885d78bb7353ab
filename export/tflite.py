"""TFLite files, one a recipe, from the SavedModel that TF Serving gets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from contract.errors import ConversionError
from contract.files import write_json
from contract.model_spec import DEFAULT
from export.recipes import Number, Recipe
from pipeline.data import load_data
from pipeline.refusal import REFUSED
from pipeline.spec import read_spec
from pipeline.stage import Result

__all__ = ["CONVERTER", "convert_tflite"]

CONVERTER = "tflite_converter"
"""What refusals of a spec call it."""


def convert_tflite(
    *,
    out: Path,
    spec: Path,
    saved_model: Path,
    recipe: Mapping[str, Any],
    is_optional: bool,
    refusal: str | None = None,
    calibration: Path | None = None,
) -> Result:
    """Writes ``model.tflite``, and ``recipe.json`` with the recipe; or ``refused.json`` where there is no such file.

    Args:
        out: folder to write into.
        spec: the model's spec, for its representative dataset.
        saved_model: the SavedModel.
        recipe: a `Recipe` as a JSON object.
        is_optional: whether the export goes on without this file.
        refusal: why the spec expects that there can be none.
        calibration: the representative dataset as a file: see `pipeline.data.load_data`.

    Raises:
        ConversionError: TFLite's built-in operators do not cover the network, or it cannot be quantized so; or they do
            though the spec expects otherwise.
    """
    chosen = Recipe.from_dict(recipe)
    write_json(out / "recipe.json", chosen.to_dict())
    try:
        content = _converted(chosen, saved_model, spec, calibration)
    except ConversionError as err:
        if refusal is None and not is_optional:
            raise
        reason = f"{refusal} ({err})" if refusal else str(err)
        write_json(out / REFUSED, {"by": CONVERTER, "reason": reason})
        return {"note": f"no {chosen.name}"}
    if refusal is not None:
        raise ConversionError(f"TFLite has a file by recipe {chosen.name} by now: take its refusal out of the spec")
    (out / "model.tflite").write_bytes(content)
    return {"note": f"{len(content):,} bytes"}


def _converted(chosen: Recipe, saved_model: Path, spec: Path, calibration: Path | None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[DEFAULT])
    _configure(converter, chosen)
    if chosen.needs_calibration:
        data = load_data(read_spec(spec), calibration)
        if next(data.representative_dataset(), None) is None:
            raise ConversionError(
                f"recipe {chosen.name} needs representative data to measure ranges on: write "
                "representative_dataset() in the model's data module, or leave the recipe out of the spec's `recipes`"
            )
        converter.representative_dataset = lambda: ((DEFAULT, call) for call in data.representative_dataset())
    try:
        content: bytes = converter.convert()
    except (ConverterError, ValueError, RuntimeError) as err:
        raise ConversionError(f"TFLite has no file by recipe {chosen.name} for this network: {_reason(err)}") from err
    return content


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
