"""Networks that TFLite's built-in operators do not cover."""

import pytest

from contract.errors import ConversionError


@pytest.mark.slow
def test_an_operator_that_tflite_lacks_is_named_in_one_line(tmp_path):
    import tensorflow as tf

    from export.tflite import convert_tflite

    class IncompleteBeta(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def predict(self, x):
            return {"y": tf.raw_ops.Betainc(a=x, b=x, x=x)}

    module = IncompleteBeta()
    tf.saved_model.save(module, tmp_path / "saved_model", signatures={"serving_default": module.predict})
    recipe = {"name": "float32", "weights": "float32", "activations": "float32", "border": "float32"}

    with pytest.raises(ConversionError) as error:
        convert_tflite(out=tmp_path, saved_model=tmp_path / "saved_model", model="or_gate", recipe=recipe)

    assert "no built-in operator for Betainc" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.tflite").exists()
