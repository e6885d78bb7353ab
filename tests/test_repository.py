"""What the files at the root promise of each other."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_package_is_listed():
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("[a-z]*/**/__init__.py")}
    packages = {".".join(folder.parts) for folder in folders if folder.parts[0] not in {"build", "tests"}}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == packages


def test_every_top_level_package_has_its_layer():
    linter = PYPROJECT["tool"]["importlinter"]
    packages = {name for name in PYPROJECT["tool"]["setuptools"]["packages"] if "." not in name}
    layers = {name for layer in linter["contracts"][0]["layers"] for name in layer.split(" | ")}
    assert set(linter["root_packages"]) == layers == packages


def test_the_lock_holds_every_dependency():
    project = PYPROJECT["project"]
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE))
    for requirement in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        [(name, pinned)] = re.findall(r"^([a-z0-9-]+)(?:==(\S+))?", requirement)
        assert name in locked, f"{requirement} is not in requirements.lock: make lock"
        assert pinned in {"", locked[name]}, f"{requirement}, but {locked[name]} in requirements.lock: make lock"


def test_the_lock_has_a_hash_for_every_package_and_no_address():
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK
    assert not re.search(r"^--", LOCK, re.MULTILINE)


def test_make_without_a_target_lists_every_target():
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make ([a-z-]+) +\S", listed, re.MULTILINE) == phony.split()


def test_the_changelog_is_at_the_version_of_the_package():
    newest, *_ = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == PYPROJECT["project"]["version"]


@pytest.mark.parametrize("name", ["scripts/uv", "scripts/setup", "scripts/lock", "scripts/lock_without_torch"])
def test_shell_scripts_parse(name):
    subprocess.run(["sh", "-n", ROOT / name], check=True)


def test_the_ci_script_parses():
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
