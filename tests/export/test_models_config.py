"""models.config as TF Serving's own proto reads it."""

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from export.models_config import models_config, write_models_config
from runtimes.tensorflow_protos import import_proto

HOSTILE = [
    'a "quoted" name',
    "it's",
    "back\\slash",
    "modèle",
    "模型",
    "😀",
    "tab\tand\nline",
    "{ name: 1 }",
    "# no comment",
    "bell\x07 and delete\x7f",
]


def parsed(text):
    """Name, base path and platform of each model, as protobuf understands the text."""
    config_pb2 = import_proto("tensorflow_serving.config.model_server_config_pb2")
    config = text_format.Parse(text, config_pb2.ModelServerConfig())
    assert config.WhichOneof("config") == "model_config_list"
    entries = config.model_config_list.config
    assert {field.name for entry in entries for field, _ in entry.ListFields()} <= {
        "name",
        "base_path",
        "model_platform",
    }
    return [(entry.name, entry.base_path, entry.model_platform) for entry in entries]


def test_every_servable_has_an_entry_in_order():
    names = ["or_gate_pytorch", "or_gate_keras", "or_gate_static_graph"]
    wanted = [(name, f"/build/serving/{name}", "tensorflow") for name in names]
    assert parsed(models_config(names, "/build/serving")) == wanted


def test_no_servables_are_an_empty_list():
    assert parsed(models_config([], "/models")) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_survive(name):
    assert parsed(models_config([name], "/models")) == [(name, f"/models/{name}", "tensorflow")]


@pytest.mark.parametrize("folder", HOSTILE)
def test_base_paths_survive(folder):
    assert parsed(models_config(["m"], f"/home/{folder}/serving")) == [("m", f"/home/{folder}/serving/m", "tensorflow")]


@settings(derandomize=True, deadline=None)
@given(name=st.text(min_size=1), base=st.text())
def test_any_text_survives(name, base):
    assert parsed(models_config([name], f"/{base}")) == [(name, f"/{base}/{name}", "tensorflow")]


def test_one_file_for_this_folder_and_one_for_the_container(tmp_path):
    base = str(tmp_path / "a build" / "serving")
    out = tmp_path / "out"
    result = write_models_config(out=out, build=tmp_path / "a build", servables=["m_keras"], base=base)
    assert result == {"published": ["serving/models.config", "serving/models.container.config"]}
    here, container = ((tmp_path / "a build" / name).read_text(encoding="utf-8") for name in result["published"])
    assert parsed(here) == [("m_keras", f"{base}/m_keras", "tensorflow")]
    assert parsed(container) == [("m_keras", "/models/m_keras", "tensorflow")]
    assert not out.exists()
