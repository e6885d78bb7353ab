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
    return [
        stages.golden(plan),
        *(stage for network in plan.spec.networks for stage in _BRANCHES[network.framework](plan, network.name)),
        stages.publish_golden(plan),
        stages.publish_models_config(plan),
        stages.report(plan),
    ]


def _trained_in_tensorflow(plan: Plan, network: str) -> list[Stage]:
    return [
        stages.train(plan, network),
        stages.verify_train(plan, network),
        *_exported(plan, network),
    ]


def _trained_in_torch(plan: Plan, network: str) -> list[Stage]:
    return [
        stages.train(plan, network),
        stages.verify_train(plan, network),
        stages.to_onnx(plan, network),
        stages.verify_to_onnx(plan, network),
        stages.to_tensorflow(plan, network),
        stages.verify_to_tensorflow(plan, network),
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
    Framework.TORCH: _trained_in_torch,
    Framework.KERAS: _trained_in_tensorflow,
    Framework.STATIC_GRAPH: _trained_in_tensorflow,
}
