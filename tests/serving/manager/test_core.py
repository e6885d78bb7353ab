"""The core with a fake loader: what a config may say, what comes of it, and what a model spec means."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.errors import Code, StatusError
from serving import protos
from serving.manager.core import CoreOptions, ServerCore
from serving.manager.manager import Retries
from serving.manager.source import aspired_versions
from serving.manager.states import State

SOON = 30
BROKEN = StatusError(Code.DATA_LOSS, "broken")
NO_PLATFORM = (
    "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
    "model name is {}"
)


class Core:
    """A core, and configs for it in few words."""

    def __init__(self, core, tmp_path):
        self.core = core
        self._tmp_path = tmp_path

    def model(self, name="m", **fields):
        """A model of the folder with its name."""
        labels, choice = fields.pop("labels", {}), fields.pop("policy", "latest")
        given = {"model_platform": "tensorflow", "base_path": str(self._tmp_path / name), **fields}
        model = protos.model_server_config.ModelConfig(name=name, **given)
        getattr(model.model_version_policy, choice).SetInParent()
        model.version_labels.update(labels)
        return model

    def reload(self, *models):
        config = protos.model_server_config.ModelServerConfig()
        config.model_config_list.SetInParent()
        config.model_config_list.config.extend(models)
        self.core.reload(config)

    def refusal(self, *models):
        return refused(lambda: self.reload(*models))

    def serves(self, name="m", **choice):
        """The version that a model spec gets."""
        spec = protos.model.ModelSpec(name=name)
        if "version" in choice:
            spec.version.value = choice["version"]
        if "label" in choice:
            spec.version_label = choice["label"]
        with self.core.lease(spec) as lease:
            return lease.version

    def state(self, version, name="m"):
        found = self.core.states.of(name).get(version)
        return found and found.state


def refused(call):
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value.code, caught.value.message


@pytest.fixture
def start(fake, tmp_path):
    started = []

    def make(**options):
        options = {"retries": Retries(0, 0), "poll_seconds": 0, **options}
        started.append(Core(ServerCore(fake, CoreOptions(**options)), tmp_path))
        return started[-1]

    yield make
    for event in fake.held.values():
        event.set()
    for one in started:
        one.core.stop()


# Model specs.


def test_the_highest_version_unless_another_is_named(start, versions):
    core = start()
    versions(1, 2, 3)
    core.reload(core.model(policy="all"))
    assert core.serves() == 3
    assert core.serves(version=1) == 1
    assert core.core.available() == {"m": 3}


@pytest.mark.parametrize(
    ("name", "choice", "code", "message"),
    [
        ("", {}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ("", {"version": 1}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ("x", {}, Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        ("m", {"version": 2}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 2)"),
        ("m", {"version": 0}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 0)"),
        ("m", {"version": -1}, Code.NOT_FOUND, "Servable not found for request: Specific(m, -1)"),
        ("m", {"label": "x"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        ("m", {"label": ""}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: "),
        ("x", {"label": "x"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
    ],
)
def test_specs_without_a_version(start, versions, name, choice, code, message):
    core = start()
    versions(1)
    core.reload(core.model())
    assert refused(lambda: core.serves(name, **choice)) == (code, message)


# Labels.


def test_labels_name_versions(start, versions):
    core = start()
    versions(1, 2)
    core.reload(core.model(policy="all"))
    core.reload(core.model(policy="all", labels={"stable": 1, "canary": 2}))
    assert (core.serves(label="stable"), core.serves(label="canary")) == (1, 2)
    core.reload(core.model(policy="all", labels={"stable": 2}))
    assert core.serves(label="stable") == 2
    assert refused(lambda: core.serves(label="canary"))[1] == "Unrecognized servable version label: canary"


def not_available(version):
    return (
        Code.FAILED_PRECONDITION,
        f"Request to assign label to version {version} of model m, which is not currently available for inference",
    )


def test_labels_before_anything_is_loaded_are_refused(start, fake, versions):
    core = start()
    versions(1)
    assert core.refusal(core.model(labels={"stable": 1})) == not_available(1)
    assert fake.events == []
    core.reload(core.model())
    core.reload(core.model(labels={"stable": 1}))
    assert core.serves(label="stable") == 1


def test_labels_of_versions_that_are_not_there_are_refused_and_nothing_changes(start, versions):
    core = start()
    versions(1, 2)
    core.reload(core.model(policy="all"))
    core.reload(core.model(policy="all", labels={"stable": 1}))
    assert core.refusal(core.model(policy="all", labels={"stable": 9})) == not_available(9)
    assert core.serves(label="stable") == 1


def test_labels_may_run_ahead_where_that_is_allowed(start, versions):
    core = start(allow_labels_for_unavailable=True)
    versions(1)
    core.reload(core.model(labels={"next": 9}))
    assert refused(lambda: core.serves(label="next"))[1] == "Servable not found for request: Specific(m, 9)"
    core.reload(core.model(labels={"next": 9, "stable": 1}))  # the same again
    assert core.refusal(core.model(labels={"next": 8, "stable": 1})) == not_available(8)  # moved
    core.reload(core.model(labels={"next": 1}))
    assert core.serves(label="next") == 1


# Configs that are refused.


def test_a_model_listed_twice(start):
    core = start()
    assert core.refusal(core.model(), core.model("a"), core.model()) == (
        Code.INVALID_ARGUMENT,
        "Illegal to list model m multiple times in config list",
    )


@pytest.mark.parametrize("path", ["", "models/m", "./m", "~/m"])
def test_a_relative_path(start, path):
    core = start()
    assert core.refusal(core.model(base_path=path)) == (
        Code.INVALID_ARGUMENT,
        f"Expected model m to have an absolute path or URI; got base_path()={path}",
    )


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"model_platform": ""}, Code.INVALID_ARGUMENT, NO_PLATFORM.format("m")),
        ({"model_platform": "pytorch"}, Code.INVALID_ARGUMENT, "Model m requests unsupported platform pytorch"),
        (
            {"model_type": 1},
            Code.INVALID_ARGUMENT,
            (
                "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform"
                ", model name is m"
            ),
        ),
        (
            {"model_type": 2, "model_platform": ""},
            Code.UNIMPLEMENTED,
            "ModelServerConfig::model_type choice 2 not supported",
        ),
    ],
)
def test_platforms_that_are_refused(start, fake, versions, fields, code, message):
    core = start()
    versions(1)
    assert core.refusal(core.model(**fields)) == (code, message)
    assert fake.events == []
    assert core.core.available() == {}


def test_the_deprecated_number_of_the_platform(start, versions):
    core = start()
    versions(1)
    core.reload(core.model(model_type=1, model_platform=""))
    assert core.serves() == 1
    core.reload(core.model())  # the same platform by its name
    assert core.serves() == 1


def test_a_model_keeps_its_platform(start, versions):
    core = start()
    versions(1)
    core.reload(core.model())
    assert core.refusal(core.model(model_platform="other")) == (
        Code.INVALID_ARGUMENT,
        "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested is other",
    )
    assert core.serves() == 1
    core.reload(core.model())


def test_a_list_does_not_give_way_to_another_kind_of_config(start, versions):
    core = start()
    versions(1)
    core.reload(core.model())
    custom = protos.model_server_config.ModelServerConfig()
    custom.custom_model_config.SetInParent()
    for config in (custom, protos.model_server_config.ModelServerConfig()):
        assert refused(lambda config=config: core.core.reload(config)) == (
            Code.FAILED_PRECONDITION,
            (
                "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                "another."
            ),
        )
    assert core.serves() == 1


# What is held after a refusal: the config, once it has passed the checks before the platforms are looked up.


def test_a_platform_that_is_unknown_is_held_and_can_be_left_out_again(start, versions):
    core = start()
    versions(1)
    versions(1, name="x")
    core.reload(core.model())
    assert core.refusal(core.model(), core.model("x", model_platform="pytorch"))[0] is Code.INVALID_ARGUMENT
    assert core.refusal(core.model(), core.model("x"))[1] == (
        "Illegal to change a model's platform. For model x platform was pytorch and new platform requested is "
        "tensorflow"
    )
    core.reload(core.model())
    core.reload(core.model(), core.model("x"))
    assert (core.serves(), core.serves("x")) == (1, 1)


def test_a_missing_platform_is_held_and_refuses_whatever_comes(start, versions):
    core = start()
    versions(1)
    core.reload(core.model())
    wanted = (Code.INVALID_ARGUMENT, NO_PLATFORM.format("x"))
    assert core.refusal(core.model(), core.model("x", model_platform="")) == wanted
    assert core.refusal(core.model()) == wanted
    assert core.refusal() == wanted
    assert core.serves() == 1


def test_a_logging_config_is_refused_but_its_model_served(start, versions):
    core = start()
    versions(1)
    model = core.model()
    model.logging_config.SetInParent()
    assert core.refusal(model) == (Code.INVALID_ARGUMENT, "No request-logger-creator provided.")
    assert core.serves() == 1


# What becomes of models.


def test_models_come_and_go(start, fake, versions, until):
    core = start()
    versions(1, name="a")
    versions(4, name="b")
    core.reload(core.model("a"))
    core.reload(core.model("a"), core.model("b"))
    assert (core.serves("a"), core.serves("b")) == (1, 4)
    core.reload(core.model("b"))
    until(lambda: core.state(1, "a") is State.END)
    assert refused(lambda: core.serves("a"))[0] is Code.NOT_FOUND
    assert core.core.available() == {"b": 4}
    assert fake.events == [("load", "a", 1), ("load", "b", 4), ("close", "a", 1)]


def test_an_empty_list_unloads_all(start, versions, until):
    core = start()
    versions(1)
    core.reload()
    core.reload(core.model())
    assert core.serves() == 1
    core.reload()
    until(lambda: core.state(1) is State.END)
    core.reload(core.model())
    assert core.serves() == 1


def test_another_policy_and_another_path(start, tmp_path, versions, until):
    core = start()
    versions(1, 2)
    versions(7, name="other")
    core.reload(core.model())
    assert refused(lambda: core.serves(version=1))[0] is Code.NOT_FOUND
    core.reload(core.model(policy="all"))
    until(lambda: core.state(1) is State.AVAILABLE)  # a reload waits for new models only
    core.reload(core.model(base_path=str(tmp_path / "other")))
    until(lambda: core.state(2) is State.END)
    assert core.serves() == 7


def test_new_versions_are_found_while_it_runs(start, versions, until):
    core = start(poll_seconds=1)
    versions(1)
    core.reload(core.model())
    versions(2)
    until(lambda: core.state(2) is State.AVAILABLE)
    assert core.serves() == 2


def test_polling_once_finds_nothing_new(start, fake, versions):
    core = start(poll_seconds=0)
    versions(1)
    core.reload(core.model())
    versions(2)
    threading.Event().wait(0.3)
    assert core.serves() == 1


def test_a_model_that_cannot_be_loaded_is_told(start, fake, versions):
    core = start()
    versions(1, name="good")
    versions(1, 2, name="bad")
    fake.errors["bad", 1] = [BROKEN]
    fake.errors["bad", 2] = [StatusError(Code.NOT_FOUND, "no graph")]
    assert core.refusal(core.model("good"), core.model("bad", policy="all")) in [
        (
            Code.UNKNOWN,
            "2 servable(s) did not become available: {" + "".join(each) + "}",
        )
        for one, other in [
            (
                "{{name: bad version: 1} due to error: DATA_LOSS: broken}, ",
                "{{name: bad version: 2} due to error: NOT_FOUND: no graph}, ",
            )
        ]
        for each in ((one, other), (other, one))
    ]
    assert core.serves("good") == 1


def test_a_model_that_comes_later_and_cannot_be_loaded(start, fake, versions):
    core = start()
    versions(1)
    versions(1, name="bad")
    fake.errors["bad", 1] = [BROKEN]
    core.reload(core.model())
    wanted = (
        Code.UNKNOWN,
        "1 model(s) did not become available: {{{name: bad version: 1} due to error: DATA_LOSS: broken}, }",
    )
    assert core.refusal(core.model(), core.model("bad")) == wanted
    core.reload(core.model(), core.model("bad"))  # it is not new any more
    assert core.serves() == 1
    core.reload(core.model())
    del fake.errors["bad", 1]
    core.reload(core.model(), core.model("bad"))
    assert core.serves("bad") == 1


def test_a_reload_waits_for_new_models_and_the_next_one_for_it(start, fake, versions, until):
    core = start()
    versions(1)
    versions(1, name="other")
    ready = fake.hold("m", 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(core.reload, core.model())
        until(lambda: fake.loads("m", 1))
        second = pool.submit(core.reload, core.model(), core.model("other"))
        with pytest.raises(TimeoutError):
            second.result(0.1)
        assert fake.loads("other", 1) == 0
        ready.set()
        first.result(SOON)
        second.result(SOON)
    assert core.serves("other") == 1


def test_an_unreadable_path_holds_up_all_that_is_new(start, tmp_path, versions, until):
    core = start(poll_seconds=1)
    versions(1)
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(core.reload, core.model(), core.model("away"))
        with pytest.raises(TimeoutError):
            reload.result(0.2)
        assert core.state(1) is None
        versions(5, name="away")
        reload.result(SOON)
    assert (core.serves(), core.serves("away")) == (1, 5)


def test_a_lenient_core_goes_on_without_what_is_broken(start, fake, versions):
    core = start(is_lenient=True)
    versions(1)
    versions(1, name="bad")
    fake.errors["bad", 1] = [BROKEN]
    core.reload(core.model(), core.model("bad"), core.model("away"))
    assert core.serves() == 1
    assert core.core.available() == {"m": 1, "bad": None, "away": None}


def test_a_stop_ends_the_wait_of_a_reload(start, versions):
    core = start()
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(core.reload, core.model("away"))
        with pytest.raises(TimeoutError):
            reload.result(0.1)
        core.core.stop()
        reload.result(SOON)


def test_a_poll_does_not_bring_back_what_a_reload_has_removed(start, versions, until, monkeypatch):
    core = start()
    versions(1)
    core.reload(core.model())
    looking, go_on, look = threading.Event(), threading.Event(), aspired_versions

    def slow_look(*arguments, **options):
        found = look(*arguments, **options)
        looking.set()
        assert go_on.wait(SOON)
        return found

    monkeypatch.setattr("serving.manager.core.aspired_versions", slow_look)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(core.core._poll)
        assert looking.wait(SOON)
        reload = pool.submit(core.reload)
        time.sleep(0.1)
        go_on.set()
        reload.result(SOON)
    until(lambda: core.state(1) is State.END)


def test_a_failed_model_that_leaves_and_comes_back_at_once_is_tried_again(start, fake, versions, until):
    core = start()
    versions(1)
    for _ in range(20):
        fake.errors["m", 1] = [BROKEN]
        with pytest.raises(StatusError, match="did not become available"):
            core.reload(core.model())
        core.reload()
        fake.errors.clear()
        core.reload(core.model())
        assert core.serves() == 1
        core.reload()
        until(lambda: core.state(1) is State.END)
