"""Networks that TFLite's built-in operators do not cover."""

import json

import pytest

from contract.errors import ConversionError
from models.or_gate.spec import SPEC
from pipeline.refusal import read_refusal
from pipeline.spec import write_spec

pytestmark = pytest.mark.slow  # TensorFlow

FLOAT32 = {"name": "float32", "weights": "float32", "activations": "float32", "border": "float32"}


@pytest.fixture(scope="module")
def incomplete_beta(tmp_path_factory):
    """A SavedModel with an operator that TFLite lacks."""
    import tensorflow as tf

    class IncompleteBeta(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def predict(self, x):
            return {"y": tf.raw_ops.Betainc(a=x, b=x, x=x)}

    module = IncompleteBeta()
    folder = tmp_path_factory.mktemp("saved_model")
    tf.saved_model.save(module, folder, signatures={"serving_default": module.predict})
    return folder


@pytest.fixture
def convert(tmp_path):
    """Converts a SavedModel to float32."""
    from export.tflite import convert_tflite

    write_spec(out=tmp_path, spec=SPEC.to_dict())

    def converted(saved_model, *, is_optional=False, refusal=None):
        return convert_tflite(
            out=tmp_path,
            spec=tmp_path / "spec.json",
            saved_model=saved_model,
            recipe=FLOAT32,
            is_optional=is_optional,
            refusal=refusal,
        )

    return converted


def test_an_operator_that_tflite_lacks_is_named_in_one_line(convert, incomplete_beta, tmp_path):
    with pytest.raises(ConversionError) as error:
        convert(incomplete_beta)
    assert "no built-in operator for Betainc" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"is_optional": True}, "TFLite has no file"), ({"refusal": "it is a rare one"}, "it is a rare one (TFLite has")],
)
def test_a_refusal_that_is_allowed_is_recorded(convert, incomplete_beta, tmp_path, options, reason):
    assert convert(incomplete_beta, **options) == {"note": "no float32"}
    assert not (tmp_path / "model.tflite").exists()
    refusal = read_refusal(tmp_path)
    assert refusal is not None
    assert (refusal["runtime"], refusal["verdict"]) == ("tflite_converter", "refused")
    assert refusal["reason"].startswith(reason)
    assert json.loads((tmp_path / "recipe.json").read_text())["name"] == "float32"


def test_a_refusal_that_no_longer_happens_is_an_error(convert, exported, tmp_path):
    with pytest.raises(ConversionError, match="take its refusal out of the spec"):
        convert(exported / "serving" / "or_gate_keras" / "1", refusal="too large")
