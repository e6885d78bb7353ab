"""The chain: every stage of `showdown export`, in order. Standard library only.

Each hop ends in a verification against the step before, and what comes after it waits for that. How a stage is called
and what it reads stands in `export.stages`.
"""

from contract.model_spec import Framework
from export import stages
from export.stages import Plan
from pipeline.stage import Stage

__all__ = ["chain"]


def chain(plan: Plan) -> list[Stage]:
    """All stages for a model."""
    networks = [network.name for network in plan.model.networks]
    return [
        *plan.model.spec,
        stages.probes(plan),
        *([stages.oracle(plan)] if plan.model.oracle else []),
        *(stage for name in networks for stage in stages.source(plan, name)),
        *(stages.golden(plan, truth) for truth in dict.fromkeys(map(plan.truth, networks))),
        *(stage for network in plan.model.networks for stage in _BRANCHES[network.framework](plan, network.name)),
        *(stages.publish_golden(plan, name) for name in plan.exported),
        stages.publish_models_config(plan),
        stages.report(plan),
    ]


def _from_tensorflow(plan: Plan, network: str) -> list[Stage]:
    return [stages.verify_source(plan, network), *_exported(plan, network)]


def _from_torch(plan: Plan, network: str) -> list[Stage]:
    return [
        stages.verify_source(plan, network),
        stages.to_onnx(plan, network),
        stages.verify_to_onnx(plan, network),
        *_converted(plan, network),
    ]


def _from_onnx(plan: Plan, network: str) -> list[Stage]:
    return [stages.verify_source(plan, network), *_converted(plan, network)]


def _converted(plan: Plan, network: str) -> list[Stage]:
    if refusal := plan.refusal_to_convert(network):
        return [stages.refused(stages.convert(plan, network, plan.converters[0]), refusal)]
    return [
        *(
            stage
            for converter in plan.converters
            for stage in (
                stages.convert(plan, network, converter),
                stages.verify_converted(plan, network, converter),
            )
        ),
        stages.choose_converter(plan, network),
        *_exported(plan, network),
    ]


def _exported(plan: Plan, network: str) -> list[Stage]:
    return [
        stages.saved_model(plan, network),
        stages.verify_saved_model(plan, network),
        stages.publish_saved_model(plan, network),
        *(
            stage
            for recipe in plan.recipes
            for stage in (
                stages.tflite(plan, network, recipe),
                stages.verify_tflite(plan, network, recipe),
                stages.publish_tflite(plan, network, recipe),
            )
        ),
    ]


_BRANCHES = {
    Framework.TORCH: _from_torch,
    Framework.KERAS: _from_tensorflow,
    Framework.STATIC_GRAPH: _from_tensorflow,
    Framework.ONNX: _from_onnx,
}
