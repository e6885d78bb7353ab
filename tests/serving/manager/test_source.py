"""Which versions lie on disk, and which of them are wanted."""

import logging

import pytest

from serving import protos
from serving.manager.source import MonitoredModel, aspired_versions


def policy(**choice):
    message = protos.model_server_config.ModelConfig().model_version_policy
    for kind, fields in choice.items():
        getattr(message, kind).SetInParent()
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(getattr(message, kind), name).extend(value)
            else:
                setattr(getattr(message, kind), name, value)
    return message


@pytest.fixture
def wanted(tmp_path):
    """The wanted versions of a model with these version folders, and their folders' names."""

    def find(names, **choice):
        for name in names:
            (tmp_path / name).mkdir()
        found = aspired_versions({"m": MonitoredModel(str(tmp_path), policy(**choice))})["m"]
        assert all(path.parent == tmp_path for path in found.values())
        return {version: path.name for version, path in found.items()}

    return find


@pytest.mark.parametrize(
    ("choice", "versions"),
    [
        ({}, [11]),
        ({"latest": {}}, [11]),
        ({"latest": {"num_versions": 0}}, [11]),
        ({"latest": {"num_versions": 1}}, [11]),
        ({"latest": {"num_versions": 2}}, [2, 11]),
        ({"latest": {"num_versions": 9}}, [1, 2, 11]),
        ({"all": {}}, [1, 2, 11]),
        ({"specific": {"versions": [2]}}, [2]),
        ({"specific": {"versions": [11, 1]}}, [1, 11]),
        ({"specific": {"versions": [2, 2]}}, [2]),
        ({"specific": {"versions": [2, 5]}}, [2]),
        ({"specific": {"versions": [5]}}, []),
        ({"specific": {}}, []),
    ],
)
def test_policies(wanted, choice, versions):
    assert sorted(wanted(["1", "2", "11"], **choice)) == versions


def test_names_that_are_versions(wanted):
    names = ["1", "007", "-5", "+8", "00000123", "9223372036854775807", "-9223372036854775808", "0"]
    assert wanted(names, all={}) == {int(name): name for name in names}


def test_names_that_are_none(wanted):
    names = [
        "", "1a", "a1", "1.5", "0x10", "1e3", "--1", "+", "-", "temp-1", ".1", "1_000", "1.tmp", "٣", "²",
        "9223372036854775808", "-9223372036854775809", "99999999999999999999", "1\n", "v1", "latest",
    ]  # fmt: skip
    assert wanted(names[1:], all={}) == {}


def test_negative_versions_are_the_lowest(wanted):
    assert wanted(["-5", "-10", "0"], latest={"num_versions": 2}) == {-5: "-5", 0: "0"}


def test_two_names_of_one_version(wanted, caplog):
    with caplog.at_level(logging.WARNING):
        found = wanted(["3", "03", "003", "1"], all={})
    assert sorted(found) == [1, 3]
    assert found[3] in ("3", "03", "003")
    assert caplog.text.count("Duplicate version directories") == 2


def test_files_count_as_versions_here(wanted, tmp_path):
    # Only loading one finds out that it is no folder.
    (tmp_path / "4").write_text("a file")
    (tmp_path / "5").symlink_to(tmp_path / "nowhere")
    assert sorted(wanted(["3"], all={})) == [3, 4, 5]


def test_a_base_path_without_versions_is_told(wanted, caplog):
    with caplog.at_level(logging.WARNING):
        assert wanted(["nope"]) == {}
    assert "No versions of servable m found under base path" in caplog.text


def test_a_missing_specific_version_is_told(wanted, caplog):
    with caplog.at_level(logging.WARNING):
        assert wanted(["1"], specific={"versions": [1, 7]}) == {1: "1"}
    assert "Version 7 of servable m, which was requested to be served, was not found" in caplog.text


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_base_path_that_cannot_be_read_stops_the_round(tmp_path, kind):
    good, bad = tmp_path / "good", tmp_path / "bad"
    (good / "1").mkdir(parents=True)
    if kind == "file":
        bad.write_text("")
    models = {"good": MonitoredModel(str(good), policy()), "bad": MonitoredModel(str(bad), policy())}
    with pytest.raises(OSError, match="bad"):
        aspired_versions(models)


def test_each_model_has_its_own_path_and_policy(tmp_path):
    for name in ("a/1", "a/2", "b/7"):
        (tmp_path / name).mkdir(parents=True)
    found = aspired_versions(
        {
            "a": MonitoredModel(str(tmp_path / "a"), policy(all={})),
            "again": MonitoredModel(str(tmp_path / "a"), policy()),
            "b": MonitoredModel(str(tmp_path / "b"), policy()),
        }
    )
    assert {name: sorted(versions) for name, versions in found.items()} == {"a": [1, 2], "again": [2], "b": [7]}
    assert aspired_versions({}) == {}
