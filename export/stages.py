"""How each stage of the chain is called, what it reads, and in which worker it runs. Standard library only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.model_spec import Framework, ModelSpec
from contract.store import versions
from export.config import ExportConfig
from export.recipes import Recipe, load_recipes
from pipeline.stage import Stage
from pipeline.to_tensorflow.converter import CONVERTERS

__all__ = [
    "Plan",
    "golden",
    "publish_golden",
    "publish_models_config",
    "publish_saved_model",
    "publish_tflite",
    "report",
    "saved_model",
    "tflite",
    "to_onnx",
    "to_tensorflow",
    "train",
    "verify_saved_model",
    "verify_tflite",
    "verify_to_onnx",
    "verify_to_tensorflow",
    "verify_train",
]

_TRAIN = {
    Framework.TORCH: ("torch", "pipeline.train.pytorch:train"),
    Framework.KERAS: ("tensorflow", "pipeline.train.keras_model:train"),
    Framework.STATIC_GRAPH: ("tensorflow", "pipeline.train.tensorflow_graph:train"),
}
_SAVED_MODEL = {
    Framework.TORCH: "export.saved_model:export_converted",
    Framework.KERAS: "export.saved_model:export_keras",
    Framework.STATIC_GRAPH: "export.saved_model:export_static_graph",
}

# Files that compute in integers clip what lies outside the calibrated range; only the others are asked about it.
_IN_RANGE = ("golden", "random", "edge")
_EVERYWHERE = (*_IN_RANGE, "huge")

_GOLDEN = {"golden": "golden/golden.json"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build.

    Attributes:
        spec: the model.
        config: what was asked for.
        build: the build folder.
        keep: how many versions of a servable stay, or None for all.
        recipes: a TFLite file each.
    """

    spec: ModelSpec
    config: ExportConfig
    build: Path
    keep: int | None = None
    recipes: tuple[Recipe, ...] = field(default_factory=load_recipes)

    @property
    def model(self) -> dict[str, Any]:
        """The parameter of every stage that reads the spec."""
        return {"model": self.spec.name}

    @property
    def spec_module(self) -> str:
        """The module that every such stage depends on."""
        return f"models.{self.spec.name}.spec"

    def servable(self, network: str) -> str:
        """The name under which a network is served."""
        return self.spec.servable(self.spec.network(network))

    def goes_through_onnx(self, network: str) -> bool:
        """Whether a network comes to TensorFlow by ONNX."""
        return self.spec.network(network).framework is Framework.TORCH

    def hops(self, network: str) -> list[str]:
        """The verifications that a network has behind it when its SavedModel is made, in order."""
        through = ["to_onnx", "to_tensorflow"] if self.goes_through_onnx(network) else []
        return [f"verify.{hop}.{network}" for hop in ("train", *through)]


def golden(plan: Plan) -> Stage:
    """Golden vectors, and the oracle's answers to every probe."""
    return Stage(
        "golden",
        "pipeline.golden:make_golden",
        worker="litert",
        params={**plan.model, "seed": plan.config.seed},
        code=(plan.spec_module, plan.spec.data, plan.spec.oracle),
    )


def train(plan: Plan, network: str) -> Stage:
    """A network, trained in its own framework."""
    chosen = plan.spec.network(network)
    worker, call = _TRAIN[chosen.framework]
    return Stage(
        f"train.{network}",
        call,
        worker=worker,
        inputs=_GOLDEN,
        params={**plan.model, "network": network, "seed": plan.config.seed},
        code=(plan.spec_module, chosen.module),
    )


def verify_train(plan: Plan, network: str) -> Stage:
    """The trained network against the oracle."""
    return Stage(
        f"verify.train.{network}",
        "pipeline.verify.stages:verify_network",
        worker="litert",
        inputs={**_GOLDEN, "expected": "golden/outputs.npz", "actual": f"train.{network}/outputs.npz"},
        params={**plan.model, "network": network},
        code=(plan.spec_module,),
        title=f"train.{network}",
    )


def to_onnx(plan: Plan, network: str) -> Stage:
    """The PyTorch network as an ONNX file."""
    return Stage(
        f"to_onnx.{network}",
        "pipeline.to_onnx:export_onnx",
        worker="torch",
        inputs={"weights": f"train.{network}/weights.safetensors"},
        params={
            **plan.model,
            "network": network,
            "exporter": plan.config.exporter,
            "opset": plan.config.opset,
        },
        after=(f"verify.train.{network}",),
        code=(plan.spec_module, plan.spec.network(network).module),
    )


def verify_to_onnx(plan: Plan, network: str) -> Stage:
    """The ONNX file in ONNX Runtime against the network in PyTorch."""
    return _verify(
        plan,
        "to_onnx",
        network,
        worker="litert",
        before=f"train.{network}",
        artifact=f"to_onnx.{network}/model.onnx",
        runtimes={"onnxruntime": "runtimes.onnx_runtime"},
    )


def to_tensorflow(plan: Plan, network: str) -> Stage:
    """The ONNX file as a SavedModel."""
    return Stage(
        f"to_tensorflow.{network}",
        "pipeline.to_tensorflow.stages:convert",
        worker="tensorflow",
        inputs={"model_onnx": f"to_onnx.{network}/model.onnx"},
        params={"converter": plan.config.converter},
        after=(f"verify.to_onnx.{network}",),
        code=(CONVERTERS[plan.config.converter],),
    )


def verify_to_tensorflow(plan: Plan, network: str) -> Stage:
    """The converted SavedModel from disk against the ONNX file."""
    return _verify(
        plan,
        "to_tensorflow",
        network,
        worker="tensorflow_c",
        before=f"verify.to_onnx.{network}",
        artifact=f"to_tensorflow.{network}/saved_model",
        runtimes={"tensorflow_c": "runtimes.tensorflow_c"},
    )


def saved_model(plan: Plan, network: str) -> Stage:
    """The SavedModel for TF Serving, with all signatures."""
    chosen = plan.spec.network(network)
    source = (
        {"saved_model": f"to_tensorflow.{network}/saved_model"}
        if plan.goes_through_onnx(network)
        else {"weights": f"train.{network}/weights.safetensors"}
    )
    return Stage(
        f"saved_model.{network}",
        _SAVED_MODEL[chosen.framework],
        worker="tensorflow",
        inputs={**_GOLDEN, **source},
        params={**plan.model, "network": network},
        after=(plan.hops(network)[-1],),
        # A converted network's own module has no part in this: the file before it is all that counts.
        code=(plan.spec_module,) if plan.goes_through_onnx(network) else (plan.spec_module, chosen.module),
    )


def verify_saved_model(plan: Plan, network: str) -> Stage:
    """Every signature of the SavedModel, from disk, against the step before."""
    before = plan.hops(network)[-1] if plan.goes_through_onnx(network) else f"train.{network}"
    return Stage(
        f"verify.saved_model.{network}",
        "pipeline.verify.signatures:verify_saved_model",
        worker="tensorflow_c",
        inputs={**_GOLDEN, "expected": f"{before}/outputs.npz", "artifact": f"saved_model.{network}/saved_model"},
        params={**plan.model, "kinds": _EVERYWHERE},
        code=(plan.spec_module, "runtimes.tensorflow_c"),
        title=f"saved_model.{network}",
    )


def publish_saved_model(plan: Plan, network: str) -> Stage:
    """The SavedModel as a version that TF Serving finds."""
    return Stage(
        f"publish.{network}",
        "export.publish:publish_saved_model",
        worker=None,
        inputs={"saved_model": f"saved_model.{network}/saved_model", **_history(plan, network)},
        params={
            **plan.model,
            "servable": plan.servable(network),
            "config": plan.config.to_dict(),
            "keep": plan.keep,
        },
        publishes=True,
        title="publish",
    )


def tflite(plan: Plan, network: str, recipe: Recipe) -> Stage:
    """The SavedModel as a TFLite file."""
    return Stage(
        f"tflite.{network}.{recipe.name}",
        "export.tflite:convert_tflite",
        worker="tensorflow",
        inputs={"saved_model": f"saved_model.{network}/saved_model"},
        params={**plan.model, "recipe": recipe.to_dict()},
        after=(f"verify.saved_model.{network}",),
        code=(plan.spec_module, plan.spec.data),
        title=f"tflite.{network}",
    )


def verify_tflite(plan: Plan, network: str, recipe: Recipe) -> Stage:
    """The TFLite file in every TFLite runtime against the SavedModel."""
    return _verify(
        plan,
        f"tflite.{recipe.name}",
        network,
        worker="litert",
        before=f"verify.saved_model.{network}",
        artifact=f"tflite.{network}.{recipe.name}/model.tflite",
        runtimes={
            "tflite_runtime": "runtimes.tflite_runtime_interpreter",
            "ai_edge_litert": "runtimes.litert_interpreter",
        },
        kinds=_IN_RANGE if recipe.needs_calibration else _EVERYWHERE,
        title=f"tflite.{network}",
    )


def publish_tflite(plan: Plan, network: str, recipe: Recipe) -> Stage:
    """The TFLite file and its manifest where devices take them from."""
    made = f"tflite.{network}.{recipe.name}"
    return Stage(
        f"publish.{made}",
        "export.publish:publish_tflite",
        worker=None,
        inputs={
            "tflite": f"{made}/model.tflite",
            "recipe": f"{made}/recipe.json",
            "tensors": f"verify.tflite.{recipe.name}.{network}/tensors.json",
            **_history(plan, network, f"verify.tflite.{recipe.name}.{network}"),
        },
        params={**plan.model, "servable": plan.servable(network), "config": plan.config.to_dict()},
        publishes=True,
        title="publish",
    )


def publish_golden(plan: Plan) -> Stage:
    """The golden vectors where devices take them from."""
    return Stage(
        "publish.golden",
        "export.publish:publish_golden",
        worker=None,
        inputs=_GOLDEN,
        params=plan.model,
        publishes=True,
        title="publish",
    )


def publish_models_config(plan: Plan) -> Stage:
    """``models.config`` for every servable in the build folder, those of other models included."""
    serving = plan.build / "serving"
    others = {folder.name for folder in serving.glob("[!.]*") if versions(folder)}
    ours = {plan.servable(network.name) for network in plan.spec.networks}
    return Stage(
        "publish.models_config",
        "export.models_config:write_models_config",
        worker=None,
        params={"servables": sorted(others | ours), "base": str(serving.resolve())},
        after=tuple(f"publish.{network.name}" for network in plan.spec.networks),
        publishes=True,
        title="publish",
    )


def report(plan: Plan) -> Stage:
    """What was made and measured, a row for each verification."""
    rows: list[dict[str, str]] = []
    inputs: dict[str, str] = {}

    def add(name: str, parity: str, **row: str) -> str:
        key = f"{len(rows):03}"
        rows.append({"name": name, "key": key, **row})
        inputs[f"parity_{key}"] = f"{parity}/parity.json"
        return key

    for network in plan.spec.networks:
        name, servable = network.name, plan.servable(network.name)
        add(f"{network.framework.value} network {name}", f"verify.train.{name}")
        if plan.goes_through_onnx(name):
            key = add(f"{servable}.onnx", f"verify.to_onnx.{name}")
            inputs[f"artifact_{key}"] = f"to_onnx.{name}/model.onnx"
            add(f"{servable} by {plan.config.converter}", f"verify.to_tensorflow.{name}")
        key = add(f"{servable}", f"verify.saved_model.{name}", published=f"serving/{servable}/{{version}}")
        inputs[f"artifact_{key}"] = f"saved_model.{name}/saved_model"
        inputs[f"version_{key}"] = f"publish.{name}/version.json"
        for recipe in plan.recipes:
            file = f"{servable}.{recipe.name}.tflite"
            key = add(file, f"verify.tflite.{recipe.name}.{name}", published=f"tflite/{file}")
            inputs[f"artifact_{key}"] = f"tflite.{name}.{recipe.name}/model.tflite"
    return Stage(
        "report",
        "export.report:write_report",
        worker=None,
        inputs=inputs,
        params={**plan.model, "config": plan.config.to_dict(), "rows": rows},
        publishes=True,
    )


def _verify(
    plan: Plan,
    hop: str,
    network: str,
    *,
    worker: str,
    before: str,
    artifact: str,
    runtimes: dict[str, str],
    kinds: tuple[str, ...] = _EVERYWHERE,
    title: str = "",
) -> Stage:
    return Stage(
        f"verify.{hop}.{network}",
        "pipeline.verify.stages:verify_file",
        worker=worker,
        inputs={**_GOLDEN, "expected": f"{before}/outputs.npz", "artifact": artifact},
        params={**plan.model, "hop": hop, "on": list(runtimes), "kinds": kinds},
        code=(plan.spec_module, *runtimes.values()),
        title=title or f"{hop}.{network}",
    )


def _history(plan: Plan, network: str, *last: str) -> dict[str, str]:
    """What the manifest tells of the way: the files that something was made from, and the parity of each hop."""
    hops = [*plan.hops(network), f"verify.saved_model.{network}", *last]
    made_from = {"weights": f"train.{network}/weights.safetensors", "golden": "golden/golden.json"}
    if plan.goes_through_onnx(network):
        made_from |= {"onnx": f"to_onnx.{network}/model.onnx", "onnx_info": f"to_onnx.{network}/onnx.json"}
    return {f"made_from_{name}": path for name, path in made_from.items()} | {
        f"parity_{position:02}": f"{hop}/parity.json" for position, hop in enumerate(hops)
    }
