"""HandleReloadConfigRequest: another list of models.

Source: model_service_impl.cc of TensorFlow Serving.
"""

from typing import Any

from contract.errors import Code, StatusError
from serving import protos
from serving.manager.core import ServerCore
from serving.metrics import ServerMetrics

__all__ = ["reload_config"]


def reload_config(core: ServerCore, metrics: ServerMetrics, request: Any) -> Any:
    """Answers a ``ReloadConfigRequest``; blocks until each new model is available or has failed.

    Args:
        core: the models.
        metrics: what the request may ask about.
        request: the message.

    Raises:
        StatusError: the config is refused.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported",
        )
    before = metrics.snapshot(request.metric_names)
    core.reload(request.config)
    response = protos.model_management.ReloadConfigResponse()
    response.status.SetInParent()
    for name, increase in metrics.increase_since(before).items():
        response.metric.add(name=name, int64_value_increase=increase)
    return response
