"""The model config in force: models, policies, labels, and how one config takes the place of another.

Source: server_core.cc of TensorFlow Serving.
"""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import Code, StatusError
from serving import protos
from serving.manager.manager import Lease, Loader, Manager, Retries
from serving.manager.source import MonitoredModel, aspired_versions
from serving.manager.states import States

__all__ = ["CoreOptions", "ServerCore"]

_log = logging.getLogger(__name__)

_PLATFORM = "tensorflow"


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """How models are found and loaded.

    Attributes:
        poll_seconds: how often the file system is looked at; 0 once, below 0 never.
        retries: of failed loads.
        num_load_threads: how many versions load at a time once the server is up.
        allow_labels_for_unavailable: a new label may name a version that is not loaded.
        is_lenient: a model that cannot be found or loaded is its own fault alone: the server starts without it, and the
            others get their new versions. TensorFlow Serving waits, or does not start.
    """

    poll_seconds: int = 1
    retries: Retries = field(default_factory=Retries)
    num_load_threads: int = 0
    allow_labels_for_unavailable: bool = False
    is_lenient: bool = False


class ServerCore:
    """Models by name; threads may use it at the same time.

    Attributes:
        states: state of every version that was ever tracked.
    """

    def __init__(self, load: Loader, options: CoreOptions) -> None:
        """Starts without models; `reload` gives them."""
        self.states = States()
        self._options = options
        self._cpus = os.cpu_count() or 1
        # The first load takes all threads whatever the option says, so that the server is up soon.
        self._manager = Manager(load, self.states, retries=options.retries, num_load_threads=4 * self._cpus)
        self._config = protos.model_server_config.ModelServerConfig()
        self._monitored: dict[str, MonitoredModel] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._is_first = True
        self._reloading = threading.Lock()
        self._polling = threading.Lock()
        self._poll_now = threading.Event()
        self._is_stopped = False
        self._poller = threading.Thread(target=self._poll_loop, name="file-system", daemon=True)
        self._poller.start()

    def lease(self, spec: Any) -> Lease:
        """The version that a ``ModelSpec`` names, for use.

        Raises:
            StatusError: INVALID_ARGUMENT for no name or an unknown label, NOT_FOUND for what is not available.
        """
        name = spec.name
        if not name:
            raise StatusError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        kind = spec.WhichOneof("version_choice")
        if kind is None:
            return self.lease_version(name, None)
        if kind == "version":
            return self.lease_version(name, spec.version.value)
        return self.lease_version(name, self.version_of_label(name, spec.version_label))

    def lease_version(self, name: str, version: int | None) -> Lease:
        """A version for use, None for the highest available one.

        Raises:
            StatusError: NOT_FOUND, it is not available.
        """
        found = self._manager.lease(name, version)
        if found is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return found

    def version_of_label(self, name: str, label: str) -> int:
        """The version that a label stands for.

        Raises:
            StatusError: INVALID_ARGUMENT, nobody has given the label.
        """
        version = self._labels.get(name, {}).get(label)
        if version is None:
            raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        return version

    def reload(self, config: Any) -> None:
        """Puts a ``ModelServerConfig`` in the place of the one in force, and waits for models that are new.

        Raises:
            StatusError: it is refused, or a new model did not become available; see the class's source for what stays
                in force then.
        """
        with self._reloading:
            self._reload(config)

    def available(self) -> dict[str, int | None]:
        """Every model of the config, and its highest version that can be used."""
        return {name: self._manager.newest(name) for name in self._monitored}

    def stop(self) -> None:
        """Ends all threads."""
        self._is_stopped = True
        self._poll_now.set()
        self._poller.join()
        self._manager.stop()

    def _reload(self, config: Any) -> None:
        kind = config.WhichOneof("config")
        current = self._config.WhichOneof("config")
        if not self._is_first and current is not None and kind != current:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                "another.",
            )
        models = list(config.model_config_list.config)
        _check_models(models)
        _check_platforms(self._config.model_config_list.config, models)
        self._check_labels(models)
        self._config = config
        self._labels = {model.name: dict(model.version_labels) for model in models}
        for model in models:
            platform = _platform(model)
            if platform != _PLATFORM:
                raise StatusError(Code.INVALID_ARGUMENT, f"Model {model.name} requests unsupported platform {platform}")
        self._serve({model.name: MonitoredModel(model.base_path, model.model_version_policy) for model in models})
        if any(model.HasField("logging_config") for model in models):
            raise StatusError(Code.INVALID_ARGUMENT, "No request-logger-creator provided.")

    def _serve(self, monitored: Mapping[str, MonitoredModel]) -> None:
        """Lets go of models that are gone, and waits for those that are new."""
        with self._polling:  # a poll that has begun would bring back what goes
            for name in self._monitored.keys() - monitored.keys():
                self._manager.set_aspired(name, {})
            new = [name for name in monitored if name not in self._monitored]
            self.states.forget_errors(new)
            self._monitored = dict(monitored)
        is_lenient = self._options.is_lenient
        if is_lenient:
            new = [name for name in self._poll() if name in new]
        else:
            self._poll_now.set()
        self.states.wait_until_settled(new, lambda: self._is_stopped)
        what = "model(s)"
        if self._is_first:
            what = "servable(s)"
            self._is_first = False
            self._manager.set_num_load_threads(max(1, self._options.num_load_threads))
        if not is_lenient:
            _raise_failed(what, self.states.failed(new))

    def _check_labels(self, models: Iterable[Any]) -> None:
        """Refuses labels of versions that are not available."""
        for model in models:
            for label, version in model.version_labels.items():
                if self._manager.is_available(model.name, version):
                    continue
                known = self._labels.get(model.name, {}).get(label)
                if self._options.allow_labels_for_unavailable and known in (None, version):
                    continue
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {model.name}, which is not currently "
                    "available for inference",
                )

    def _poll_loop(self) -> None:
        seconds = self._options.poll_seconds
        while not self._is_stopped:
            self._poll_now.wait(seconds if seconds > 0 else None)
            self._poll_now.clear()
            if seconds >= 0 and not self._is_stopped:
                self._poll()

    def _poll(self) -> list[str]:
        """Tells the manager what lies on disk; gives the names of the models that have a version there."""
        with self._polling:
            try:
                found = aspired_versions(self._monitored, skips_unreadable=self._options.is_lenient)
            except OSError as err:
                _log.error("FileSystemStoragePathSource encountered a filesystem access error: %s", err)
                return []
            for name, versions in found.items():
                self._manager.set_aspired(name, versions)
        return [name for name, versions in found.items() if versions]


def _check_models(models: Iterable[Any]) -> None:
    seen = set()
    for model in models:
        if model.name in seen:
            raise StatusError(
                Code.INVALID_ARGUMENT, f"Illegal to list model {model.name} multiple times in config list"
            )
        seen.add(model.name)
    for model in models:
        if not (model.base_path.startswith("/") or "://" in model.base_path):
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}",
            )


def _check_platforms(old: Iterable[Any], new: Iterable[Any]) -> None:
    platforms = {model.name: _platform(model) for model in old}
    for model in new:
        if model.name in platforms and (platform := _platform(model)) != platforms[model.name]:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{platforms[model.name]} and new platform requested is {platform}",
            )


def _platform(model: Any) -> str:
    """The platform of a ``ModelConfig``, by name or by the deprecated number."""
    if model.model_type and model.model_platform:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            f"model name is {model.name}",
        )
    if model.model_platform:
        return str(model.model_platform)
    if model.model_type == protos.model_server_config.TENSORFLOW:
        return _PLATFORM
    if model.model_type:
        raise StatusError(Code.UNIMPLEMENTED, f"ModelServerConfig::model_type choice {model.model_type} not supported")
    raise StatusError(
        Code.INVALID_ARGUMENT,
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
        f"model name is {model.name}",
    )


def _raise_failed(what: str, failed: Mapping[tuple[str, int], StatusError]) -> None:
    if failed:
        each = "".join(
            f"{{{{name: {name} version: {version}}} due to error: {error}}}, "
            for (name, version), error in failed.items()
        )
        raise StatusError(Code.UNKNOWN, f"{len(failed)} {what} did not become available: {{{each}}}")
