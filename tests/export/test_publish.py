"""Versions over several exports into one build folder, and the config that TF Serving reads."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.files import sha256, tree_files
from contract.store import read_manifest, versions
from export.models_config import models_config
from models.or_gate.spec import SPEC

SERVABLES = sorted(SPEC.servable(network) for network in SPEC.networks)


def digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in tree_files(folder)}


@dataclass
class State:
    """What is published after a command."""

    output: str
    seeds: dict[str, dict[int, int]]
    files: dict[str, str]

    def of(self, servable: str, version: int) -> dict[str, str]:
        """The files of a version."""
        return {name: digest for name, digest in self.files.items() if name.startswith(f"{servable}/{version}/")}


@pytest.fixture(scope="module")
def build(exported, tmp_path_factory) -> Path:
    """The shared build folder, moved elsewhere."""
    target: Path = tmp_path_factory.mktemp("moved") / "a folder with blanks"
    shutil.copytree(exported, target)
    return target


@pytest.fixture(scope="module")
def export(build, showdown):
    def run(*arguments: str) -> State:
        output = showdown("export", "--build-dir", build, *arguments).stdout
        serving = build / "serving"
        seeds = {
            name: {
                version: read_manifest(folder / "manifest.json").config["seed"]
                for version, folder in versions(serving / name).items()
            }
            for name in SERVABLES
        }
        return State(output, seeds, digests(serving))

    return run


@pytest.fixture(scope="module")
def history(build, export):
    """The states after: seed 0 again, seed 7, seed 0, only the newest kept, nothing changed, the newest damaged."""
    states = {
        "again": export(),
        "another seed": export("--seed", "7"),
        "back": export(),
        "keep one": export("--keep", "1"),
        "same again": export("--keep", "1"),
    }
    damaged = build / "serving" / SERVABLES[0] / "3" / "saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    states["damaged"] = export()
    return states


def same(published: dict[int, int]) -> dict[str, dict[int, int]]:
    return dict.fromkeys(SERVABLES, published)


@pytest.mark.slow  # exports
def test_the_same_seed_stays_version_1(history):
    assert history["again"].seeds == same({1: 0})


@pytest.mark.slow
def test_another_seed_is_version_2_and_leaves_version_1_as_it_was(history):
    before, after = history["again"], history["another seed"]
    assert after.seeds == same({1: 0, 2: 7})
    for servable in SERVABLES:
        assert after.of(servable, 1) == before.of(servable, 1)
        # The weights are in a file of their own, or in the graph.
        changed = {
            Path(*Path(name).parts[2:]).as_posix()
            for name, digest in after.of(servable, 2).items()
            if digest != after.files[name.replace("/2/", "/1/")]
        }
        assert "manifest.json" in changed
        assert {"variables/variables.data-00000-of-00001", "saved_model.pb"} & changed


@pytest.mark.slow
def test_going_back_is_version_3_with_the_bytes_of_version_1(history):
    state = history["back"]
    assert state.seeds == same({1: 0, 2: 7, 3: 0})
    for servable in SERVABLES:
        third = {name.replace("/3/", "/1/"): digest for name, digest in state.of(servable, 3).items()}
        assert third == state.of(servable, 1)


@pytest.mark.slow
def test_keep_1_leaves_the_newest_version_only_and_changes_nothing_in_it(history):
    state = history["keep one"]
    assert state.seeds == same({3: 0})
    assert state.of(SERVABLES[0], 3) == history["back"].of(SERVABLES[0], 3)


@pytest.mark.slow
def test_the_same_command_again_has_nothing_to_do(history):
    assert "Nothing to do: all 85 stages are up to date" in history["same again"].output
    assert history["same again"].files == history["keep one"].files


@pytest.mark.slow
def test_a_damaged_version_is_left_as_it_is_and_a_whole_one_is_published_beside_it(history):
    before, after = history["same again"], history["damaged"]
    assert after.seeds == same({3: 0}) | {SERVABLES[0]: {3: 0, 4: 0}}
    whole = {name.replace("/4/", "/3/"): digest for name, digest in after.of(SERVABLES[0], 4).items()}
    assert whole == before.of(SERVABLES[0], 3)
    different = {name for name, digest in after.of(SERVABLES[0], 3).items() if digest != whole[name]}
    assert different == {f"{SERVABLES[0]}/3/saved_model.pb"}


@pytest.mark.slow
def test_a_build_folder_that_was_moved_gets_its_own_absolute_paths(exported, history, build):
    for folder in (exported, build):
        config = parsed((folder / "serving" / "models.config").read_text())
        assert [entry.base_path for entry in config] == [str(folder / "serving" / name) for name in SERVABLES]
        assert all((Path(entry.base_path)).is_dir() for entry in config)


@pytest.mark.slow
def test_both_configs_name_every_servable_in_the_folder_with_an_absolute_path(exported):
    for file in ("models.config", "models.container.config"):
        config = parsed((exported / "serving" / file).read_text())
        assert [entry.name for entry in config] == SERVABLES
        assert {entry.model_platform for entry in config} == {"tensorflow"}
        assert all(entry.base_path.startswith("/") for entry in config)
        assert not any(entry.version_labels for entry in config)  # a label of a version not loaded yet fails the start


@pytest.mark.slow
def test_servables_of_other_models_in_the_folder_are_served_too(exported, tmp_path):

    from export.config import ExportConfig
    from export.model import model_of_spec
    from export.stages import Plan, publish_models_config

    (tmp_path / "serving" / "other_keras" / "12").mkdir(parents=True)
    (tmp_path / "serving" / "no_version").mkdir()
    (tmp_path / "serving" / ".other_torch.1.partial").mkdir()
    stage = publish_models_config(Plan(model_of_spec(SPEC), ExportConfig(), tmp_path))
    assert stage.params["servables"] == [*SERVABLES, "other_keras"]


@pytest.mark.slow
@pytest.mark.parametrize("base", ["/models", "/with blanks and 'quotes\"", "/mit Umläuten/\\"])
def test_names_and_paths_of_any_kind_survive_the_text_format(base):
    config = parsed(models_config(["a", "b"], base))
    assert [(entry.name, entry.base_path) for entry in config] == [("a", f"{base}/a"), ("b", f"{base}/b")]


def parsed(text: str) -> list[Any]:
    """The entries of a ModelServerConfig, read by the class that TF Serving itself reads it with."""
    from google.protobuf import text_format

    from runtimes.tensorflow_protos import import_proto

    module = import_proto("tensorflow_serving.config.model_server_config_pb2")
    return list(text_format.Parse(text, module.ModelServerConfig()).model_config_list.config)
