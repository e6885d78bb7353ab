"""What an import of the contract loads, each in a fresh process."""

import pkgutil
import sys

import pytest

import contract

MODULES = [f"contract.{module.name}" for module in pkgutil.iter_modules(contract.__path__)]
WITH_NUMPY = {"contract.arrays", "contract.golden"}

# What the environment itself loads at start does not count.
LOADED = """
import sys
before = set(sys.modules)
__import__(sys.argv[1])
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


@pytest.mark.parametrize("module", MODULES)
def test_standard_library_and_numpy_only(python, module):
    loaded = set(python(LOADED, module).split())
    # numpy's compiled modules register under names of their own.
    assert loaded - sys.stdlib_module_names - set(python(LOADED, "numpy").split()) == {"contract"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - WITH_NUMPY))
def test_planning_needs_no_numpy(python, module):
    assert "numpy" not in python(LOADED, module).split()
