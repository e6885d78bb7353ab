"""The compose file: what it mounts is there, what it opens is for this machine."""

from pathlib import Path

import yaml

from serving.flags import parse

FOLDER = Path(__file__).parents[2] / "serving_config"


def service():
    return yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]["serving"]


def test_every_file_that_a_flag_names_is_mounted_read_only():
    mounts = {inside: outside for outside, inside, mode in (mount.split(":") for mount in service()["volumes"])}
    assert {mount.rsplit(":", 1)[1] for mount in service()["volumes"]} == {"ro"}
    assert mounts.pop("/models") == "../build/serving"
    assert all((FOLDER / outside).is_file() for outside in mounts.values())
    parsed = parse(service()["command"])
    assert (parsed.unknown, parsed.errors) == ((), ())
    flags = parsed.flags
    assert flags.enable_batching
    assert mounts.keys() == {flags.model_config_file, flags.monitoring_config_file, flags.batching_parameters_file}


def test_ports_are_for_this_machine():
    assert service()["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]


def test_the_image_is_an_official_one_with_a_version():
    name, version = service()["image"].split(":")
    assert name == "tensorflow/serving"
    assert tuple(map(int, version.split("."))) >= (2, 19, 0)
