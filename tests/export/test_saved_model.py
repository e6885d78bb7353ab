"""The SavedModels of the three networks, as TensorFlow and a server load them."""

from pathlib import Path

import numpy as np
import pytest

from contract.golden import read_golden
from models.or_gate.spec import SPEC

pytestmark = pytest.mark.slow  # TensorFlow

SERVABLES = [SPEC.servable(network) for network in SPEC.networks]
METHODS = {
    "serving_default": "tensorflow/serving/predict",
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}


@pytest.fixture(scope="module", params=SERVABLES)
def folder(request, exported) -> Path:
    path: Path = exported / "serving" / request.param / "1"
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    import tensorflow as tf

    return tf.saved_model.load(folder)


@pytest.fixture(scope="module")
def golden(exported):
    return read_golden(exported / "golden" / "or_gate_pytorch.json")


def definitions(folder):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    [graph] = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]
    return {name: value for name, value in graph.signature_def.items() if not name.startswith("__")}


def examples(x):
    import tensorflow as tf

    rows = [
        tf.train.Example(features=tf.train.Features(feature={"x": tf.train.Feature(float_list={"value": row})}))
        for row in x.tolist()
    ]
    return tf.constant([row.SerializeToString() for row in rows])


def test_every_servable_has_the_same_border_with_a_dynamic_batch(folder):
    import tensorflow as tf

    borders = {
        name: {
            tensor: (tf.as_dtype(info.dtype).name, tf.TensorShape(info.tensor_shape).as_list())
            for tensor, info in (*signature.inputs.items(), *signature.outputs.items())
        }
        for name, signature in definitions(folder).items()
    }
    assert borders == {
        "serving_default": {"x": ("float32", [None, 2]), "y": ("float32", [None, 1])},
        "classify": {
            "inputs": ("string", [None]),
            "classes": ("string", [None, 2]),
            "scores": ("float32", [None, 2]),
        },
        "regress": {"inputs": ("string", [None]), "outputs": ("float32", [None, 1])},
    }


def test_every_signature_has_the_method_name_that_tf_serving_looks_for(folder):
    """`tf.saved_model.save` writes predict's for all of them; `MethodNameUpdater` repairs that."""
    assert {name: signature.method_name for name, signature in definitions(folder).items()} == METHODS


def test_nothing_random_is_in_the_folder(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "assets.extra/tf_serving_warmup_requests",
        "manifest.json",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    }


@pytest.mark.parametrize("batch", [1, 9])
def test_predict_gives_the_golden_outputs(loaded, golden, batch):
    import tensorflow as tf

    x = np.concatenate([vector.inputs["x"] for vector in golden.vectors])[:batch]
    wanted = np.concatenate([vector.outputs["y"] for vector in golden.vectors])[:batch]
    y = loaded.signatures["serving_default"](x=tf.constant(x))["y"].numpy()
    # Training in float32 differs from the oracle's float64; the spec allows 1e-5.
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5)


def test_classify_and_regress_take_examples_and_give_the_scores_of_predict(loaded, golden):
    import tensorflow as tf

    x = np.concatenate([vector.inputs["x"] for vector in golden.vectors])
    y = loaded.signatures["serving_default"](x=tf.constant(x))["y"].numpy()
    classified = loaded.signatures["classify"](inputs=examples(x))
    assert classified["classes"].numpy().tolist() == [[b"0", b"1"]] * len(x)
    # The same float32 arithmetic over another batch.
    np.testing.assert_allclose(classified["scores"].numpy(), np.hstack([1 - y, y]), rtol=0, atol=1e-6)
    regressed = loaded.signatures["regress"](inputs=examples(x))
    np.testing.assert_allclose(regressed["outputs"].numpy(), y, rtol=0, atol=1e-6)


def test_an_example_without_the_feature_is_refused(loaded):
    import tensorflow as tf

    empty = tf.constant([tf.train.Example().SerializeToString()])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Feature: x .*is required"):
        loaded.signatures["regress"](inputs=empty)


def test_tensorflow_c_gives_the_golden_outputs_in_a_process_without_tensorflow(exported, answers, golden):
    x = [vector.inputs["x"][0].tolist() for vector in golden.vectors]
    wanted = np.concatenate([vector.outputs["y"] for vector in golden.vectors])
    replies = answers("tensorflow_c", {name: exported / "serving" / name / "1" for name in SERVABLES}, x)
    assert list(replies) == SERVABLES
    for reply in replies.values():
        assert reply["border"] == [["x", "float32", 2, 1], ["y", "float32", 2, 1]]
        np.testing.assert_allclose(np.array(reply["y"]), wanted, rtol=0, atol=1e-5)


def test_tensorflow_1_loads_the_folder_too(folder, golden):
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        graph = v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        signature = graph.signature_def["serving_default"]
        for vector in golden.vectors:
            y = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: vector.inputs["x"]})
            np.testing.assert_allclose(y, vector.outputs["y"], rtol=0, atol=1e-5)


def test_tensorflow_2_and_1_wrote_them_as_the_blog_post_has_it(exported):
    """A file of TensorFlow 2 holds an object graph; the static graph's, of TensorFlow 1, holds none."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    written_by_2 = {
        name: SavedModel.FromString((exported / "serving" / name / "1" / "saved_model.pb").read_bytes())
        .meta_graphs[0]
        .HasField("object_graph_def")
        for name in SERVABLES
    }
    assert written_by_2 == {"or_gate_pytorch": True, "or_gate_keras": True, "or_gate_static_graph": False}


def test_tensorflow_alone_writes_predict_into_every_signature(tmp_path):
    """Fails with a TensorFlow that keeps other method names: then `MethodNameUpdater` can go."""
    import tensorflow as tf

    module = tf.Module()
    classify = tf.function(lambda inputs: {"scores": inputs}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, tmp_path, signatures={"classify": classify})
    assert definitions(tmp_path)["classify"].method_name == "tensorflow/serving/predict"
