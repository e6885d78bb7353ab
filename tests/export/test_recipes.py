"""Recipes: what TFLite has, and how they are read."""

from itertools import product

import pytest

from contract.errors import SpecError
from export.recipes import RECIPES, Number, Recipe, load_recipes
from models import load_spec, model_names

SHIPPED = load_recipes()
NAMES = [recipe.name for recipe in SHIPPED]

# weights, activations, border
POSSIBLE = {
    ("float32", "float32", "float32"),
    ("float16", "float32", "float32"),
    ("int8", "float32", "float32"),
    ("int8", "int8", "int8"),
    ("int8", "int8", "float32"),
    ("int8", "int16", "int16"),
    ("int8", "int16", "float32"),
}


def toml(tmp_path, text):
    path = tmp_path / "recipes.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("numbers", list(product([n.value for n in Number], repeat=3)), ids="-".join)
def test_only_what_tflite_has_is_a_recipe(numbers):
    weights, activations, border = numbers
    values = {"name": "mine", "weights": weights, "activations": activations, "border": border}
    if numbers in POSSIBLE:
        assert Recipe.from_dict(values).to_dict() == {**values, "per_channel_dense": False}
    else:
        wanted = f"recipe mine: {weights} weights with {activations} activations and a {border} border is nothing that"
        with pytest.raises(SpecError, match=wanted):
            Recipe.from_dict(values)


def test_the_shipped_recipes_are_there():
    assert {"float32", "float16", "dynamic", "int8"} <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("recipe", SHIPPED, ids=NAMES)
def test_round_trip(recipe):
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert set(recipe.to_dict()) == {"name", "weights", "activations", "border", "per_channel_dense"}


@pytest.mark.parametrize("recipe", SHIPPED, ids=NAMES)
def test_no_shipped_recipe_quantizes_dense_weights_per_channel(recipe):
    """Older runtimes answer such files wrongly without an error."""
    assert not recipe.per_channel_dense


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("name", NAMES)
def test_every_model_states_its_tolerance(model, name):
    assert load_spec(model).tolerance(f"tflite.{name}").atol >= 0


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("float32", False),
        ("float16", False),
        ("dynamic", False),
        ("int8", True),
        ("int8_float_io", True),
        ("int16x8", True),
    ],
)
def test_integer_activations_need_calibration(name, needed):
    [recipe] = [recipe for recipe in SHIPPED if recipe.name == name]
    assert recipe.needs_calibration is needed


def test_the_order_is_the_file_s(tmp_path):
    table = 'weights = "float32"\nactivations = "float32"\nborder = "float32"\n'
    path = toml(tmp_path, f"[z]\n{table}[a]\n{table}per_channel_dense = true\n")
    numbers = (Number.FLOAT32,) * 3
    assert load_recipes(path) == (Recipe("z", *numbers), Recipe("a", *numbers, per_channel_dense=True))


def test_unknown_key(tmp_path):
    path = toml(
        tmp_path, RECIPES.read_text() + '\n[mine]\nweights = "int8"\nactivations = "int8"\nborder = "int8"\nbits = 4'
    )
    with pytest.raises(SpecError, match=r"recipe mine: keys unknown: \['bits'\], missing: \[\]"):
        load_recipes(path)


@pytest.mark.parametrize("key", ["weights", "activations", "border"])
def test_missing_key(key):
    values = {name: value for name, value in SHIPPED[0].to_dict().items() if name != key}
    with pytest.raises(SpecError, match=rf"recipe float32: keys unknown: \[\], missing: \['{key}'\]"):
        Recipe.from_dict(values)


def test_a_recipe_has_a_name():
    values = {name: value for name, value in SHIPPED[0].to_dict().items() if name != "name"}
    with pytest.raises(SpecError, match=r"missing: \['name'\]"):
        Recipe.from_dict(values)


@pytest.mark.parametrize("value", ["int4", "INT8", "", 8, None])
def test_unknown_number(value):
    with pytest.raises(SpecError, match=r"recipe int8: .* is not a valid Number; there are \['float32', .*'int16'\]"):
        Recipe.from_dict({"name": "int8", "weights": value, "activations": "int8", "border": "int8"})


@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(SpecError, match=f"recipe float32: per_channel_dense is {value!r}, not true or false"):
        Recipe.from_dict({**SHIPPED[0].to_dict(), "per_channel_dense": value})


@pytest.mark.parametrize("text", ["[int8", "weights = ", "[a]\n[a]\n"])
def test_not_toml(tmp_path, text):
    path = toml(tmp_path, text)
    with pytest.raises(SpecError, match=f"^{path}: "):
        load_recipes(path)


def test_not_a_table(tmp_path):
    path = toml(tmp_path, 'weights = "int8"\n')
    with pytest.raises(SpecError, match=f"^{path}: weights is no table"):
        load_recipes(path)
