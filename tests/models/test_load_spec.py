"""Models are found by their folder's name."""

import pytest

from contract.errors import UsageError
from models import load_spec, model_names
from models.or_gate.spec import SPEC


def test_a_model_is_a_folder_with_a_spec():
    assert "or_gate" in model_names()
    assert load_spec("or_gate") is SPEC


@pytest.mark.parametrize("name", ["or_gat", "or-gate", "orgate", "OR_gate"])
def test_the_nearest_name_is_suggested(name):
    with pytest.raises(UsageError, match=rf"no model '{name}' in models/; did you mean 'or_gate'\?"):
        load_spec(name)


@pytest.mark.parametrize("name", ["transformer", "", "..", "x" * 30])
def test_without_a_near_name_all_are_listed(name):
    with pytest.raises(UsageError, match=r"no model .* in models/; there are: .*or_gate"):
        load_spec(name)


@pytest.mark.parametrize("name", model_names())
def test_every_spec_has_the_name_of_its_folder(name):
    assert load_spec(name).name == name
