"""Classify, Regress and MultiInference on a fake servable."""

import numpy as np
import pytest

from contract.errors import Code
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.handlers.classify import classify
from serving.handlers.multi_inference import multi_inference
from serving.handlers.regress import regress
from serving.handlers.settings import Settings

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INPUTS = {"inputs": DataType.STRING}


def floats(values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


def strings(values):
    return Tensor(DataType.STRING, np.array(values, object))


@pytest.fixture
def model(models, sign):
    found = models(
        serving_default=sign(INPUTS, ["outputs"], REGRESS),
        classify=sign(INPUTS, ["scores", "classes"], CLASSIFY),
        scores=sign(INPUTS, ["scores"], CLASSIFY),
        classes=sign(INPUTS, ["classes"], CLASSIFY),
        other_input=sign({"other": DataType.STRING}, ["outputs", "scores"][:1], REGRESS),
        two_inputs=sign({**INPUTS, "more": DataType.FLOAT}, ["outputs"], REGRESS),
        other_output=sign(INPUTS, ["y"], REGRESS),
        three_outputs=sign(INPUTS, ["scores", "classes", "y"], CLASSIFY),
    )
    found.servable.results = {
        "scores:0": floats([[0.25, 0.75], [1, 0]]),
        "classes:0": strings([[b"a", b"b"], [b"c", b"\xff"]]),
        "outputs:0": floats([[5], [6]]),
    }
    return found


@pytest.fixture
def ask(model, examples):
    """Calls Classify or Regress with so many examples."""

    def call(handler, signature_name="", number=2, context=None, **settings):
        kind = (
            protos.classification.ClassificationRequest if handler is classify else protos.regression.RegressionRequest
        )
        request = kind()
        request.model_spec.name, request.model_spec.signature_name = "m", signature_name
        examples(request.input, number, context)
        return handler(model, Settings(**settings), request, 2.5)

    return call


def classes_of(response):
    return [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]


def test_classify(ask, model):
    response = ask(classify, "classify")
    assert classes_of(response) == [[("a", 0.25), ("b", 0.75)], [("c", 1), ("\ufffd", 0)]]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "classify")
    ((feeds, _, fetches, timeout),) = model.servable.runs
    assert (feeds, fetches, timeout) == (("inputs:0",), ("classes:0", "scores:0"), 2.5)


def test_classify_with_one_output(ask):
    assert classes_of(ask(classify, "scores")) == [[("", 0.25), ("", 0.75)], [("", 1), ("", 0)]]
    assert classes_of(ask(classify, "classes")) == [[("a", 0), ("b", 0)], [("c", 0), ("\ufffd", 0)]]


def test_regress(ask, model):
    response = ask(regress)
    assert [one.value for one in response.result.regressions] == [5, 6]
    assert response.model_spec.signature_name == "serving_default"
    model.servable.results["outputs:0"] = floats([1, 2])
    assert [one.value for one in ask(regress).result.regressions] == [1, 2]


def test_examples_reach_the_graph_with_their_context_before_them(ask, model):
    ask(regress, context=9)
    ask(regress)
    (_, (with_context,), _, _), (_, (plain,), _, _) = model.servable.runs
    parsed = [protos.example.Example.FromString(one).features.feature for one in with_context]
    assert [(one["c"].int64_list.value[0], one["n"].int64_list.value[0]) for one in parsed] == [(9, 0), (9, 1)]
    assert [list(protos.example.Example.FromString(one).features.feature) for one in plain] == [["n"], ["n"]]


def test_no_examples(ask, refused, model):
    for context in (None, 1):
        for handler, name in ((classify, "classify"), (regress, "")):
            assert refused(lambda h=handler, n=name, c=context: ask(h, n, 0, c)) == (
                Code.INVALID_ARGUMENT,
                "Input is empty.",
            )
    assert model.servable.runs == []


@pytest.mark.parametrize(
    ("handler", "name", "message"),
    [
        (classify, "nope", "No signature was found with the name: nope"),
        (regress, "nope", "No signature was found with the name: nope"),
        (regress, "two_inputs", "Expected one input Tensor."),
        (classify, "two_inputs", "Expected one input Tensor."),
        (classify, "three_outputs", "Expected one or two output Tensors, found 3"),
        (regress, "classify", "Expected one output Tensor."),
        (regress, "other_input", "No regression inputs found in SignatureDef: "),
        (classify, "other_input", "No classification inputs found in SignatureDef: "),
        (regress, "other_output", "No regression outputs found in SignatureDef: "),
        (
            classify,
            "other_output",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature ',
        ),
    ],
)
def test_signatures_that_do_not_fit(ask, refused, model, handler, name, message):
    code, text = refused(lambda: ask(handler, name))
    assert code is Code.INVALID_ARGUMENT
    assert text.startswith(message)
    assert (model.servable.runs, model.in_use) == ([], 0)


def test_methods_are_looked_at_where_that_is_wanted(ask, refused):
    assert refused(lambda: ask(classify, "", check_method_name=True)) == (
        Code.INVALID_ARGUMENT,
        f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
    )
    assert refused(lambda: ask(regress, "scores", check_method_name=True)) == (
        Code.INVALID_ARGUMENT,
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
    )
    ask(classify, "classify", check_method_name=True)
    ask(regress, check_method_name=True)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"scores:0": floats([1, 2])}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"scores:0": floats([[1, 2]])}, "Expected scores output batch size of 2. Got: 1"),
        ({"scores:0": floats([[1], [2]])}, "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
        ({"scores:0": Tensor(DataType.DOUBLE, np.ones((2, 2)))}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ({"classes:0": floats([[1, 2], [1, 2]])}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"classes:0": strings([[b"a"]] * 3)}, "Expected classes output batch size of 2. Got: 3"),
    ],
)
def test_classes_and_scores_that_do_not_fit(ask, refused, model, results, message):
    model.servable.results.update(results)
    assert refused(lambda: ask(classify, "classify")) == (Code.INVALID_ARGUMENT, message)


SHAPE = "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (floats(1), SHAPE + "[]"),
        (floats([[1, 2]] * 2), SHAPE + "[2,2]"),
        (floats([[[1]]] * 2), SHAPE + "[2,1,1]"),
        (floats([1, 2, 3]), "Input batch size did not match output batch size: 2 vs. 3"),
        (Tensor(DataType.INT64, np.ones(2, np.int64)), "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
    ],
)
def test_outputs_that_do_not_fit(ask, refused, model, result, message):
    model.servable.results["outputs:0"] = result
    assert refused(lambda: ask(regress)) == (Code.INVALID_ARGUMENT, message)


# MultiInference.


@pytest.fixture
def infer(model, examples):
    """Calls MultiInference with tasks (method, signature, model)."""

    def call(*tasks, number=2, **settings):
        request = protos.inference.MultiInferenceRequest()
        for method, signature_name, *name in tasks:
            task = request.tasks.add(method_name=method)
            task.model_spec.name, task.model_spec.signature_name = name[0] if name else "m", signature_name
        examples(request.input, number)
        return multi_inference(model, Settings(**settings), request, 2.5)

    return call


def test_tasks_are_answered_in_their_order_from_one_run(infer, model):
    response = infer((CLASSIFY, "classify"), (REGRESS, ""), (CLASSIFY, "scores"))
    assert [one.model_spec.signature_name for one in response.results] == ["classify", "serving_default", "scores"]
    assert {(one.model_spec.name, one.model_spec.version.value) for one in response.results} == {("m", 7)}
    kinds = [one.WhichOneof("result") for one in response.results]
    assert kinds == ["classification_result", "regression_result", "classification_result"]
    assert [one.value for one in response.results[1].regression_result.regressions] == [5, 6]
    first, _, last = response.results
    assert [one.label for one in first.classification_result.classifications[0].classes] == ["a", "b"]
    assert [one.label for one in last.classification_result.classifications[0].classes] == ["", ""]
    ((feeds, _, fetches, timeout),) = model.servable.runs
    assert (feeds, fetches, timeout) == (("inputs:0",), ("classes:0", "scores:0", "outputs:0"), 2.5)
    response = infer((REGRESS, "serving_default"), (CLASSIFY, "classes"))
    assert [one.model_spec.signature_name for one in response.results] == ["serving_default", "classes"]


OTHER_MODEL = "All ModelSpecs in a MultiInferenceRequest must access the same model name."


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([(REGRESS, ""), (REGRESS, "serving_default")], 3, "Duplicate evaluation of signature: serving_default"),
        ([(REGRESS, ""), (REGRESS, "", "x")], 3, OTHER_MODEL),
        ([(REGRESS, ""), (REGRESS, "", "")], 3, "Found ModelSpec with an empty model name."),
        ([(REGRESS, "nope")], 3, "Requested signature not found in model graph: nope"),
        ([("tensorflow/serving/predict", "")], 12, "Unsupported signature method_name: tensorflow/serving/predict"),
        ([("", "")], 12, "Unsupported signature method_name: "),
        ([(REGRESS, ""), (REGRESS, "two_inputs")], 3, "Expected one input Tensor."),
        ([(REGRESS, "", "x")], 5, "Servable not found for request: Latest(x)"),
    ],
)  # fmt: skip
def test_tasks_that_are_refused(infer, refused, model, tasks, code, message):
    assert refused(lambda: infer(*tasks)) == (code, message)
    assert (model.servable.runs, model.in_use) == ([], 0)


def test_tasks_have_one_input(infer, refused, model, sign):
    model.servable.signatures["elsewhere"] = sign({}, ["outputs"], REGRESS)
    definition = sign(INPUTS, ["outputs"], REGRESS).definition
    definition.inputs["inputs"].name = "elsewhere:0"
    model.servable.signatures["elsewhere"] = type(model.servable.signatures["classify"])(definition)
    assert refused(lambda: infer((REGRESS, ""), (REGRESS, "elsewhere"))) == (
        Code.INVALID_ARGUMENT,
        "Input tensor must be the same for all Signatures.",
    )


def test_no_examples_for_tasks(infer, refused):
    assert refused(lambda: infer((REGRESS, ""), number=0)) == (Code.INVALID_ARGUMENT, "Input is empty.")


def test_a_result_of_one_task_that_does_not_fit(infer, refused, model):
    model.servable.results["outputs:0"] = floats([1, 2, 3])
    assert refused(lambda: infer((CLASSIFY, "classify"), (REGRESS, ""))) == (
        Code.INVALID_ARGUMENT,
        "Input batch size did not match output batch size: 2 vs. 3",
    )
