"""How each stage of the chain is called, what it reads, and in which worker it runs. Standard library only."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.model_spec import Framework, Network, Refusal, expected_refusal
from contract.store import versions
from export.config import ExportConfig
from export.model import FILES, Model, taken
from export.recipes import Recipe, load_recipes
from pipeline.stage import Stage
from pipeline.to_tensorflow.converter import CONVERTERS, NEWEST_OPSETS

__all__ = [
    "Plan",
    "choose_converter",
    "convert",
    "golden",
    "oracle",
    "probes",
    "publish_golden",
    "publish_models_config",
    "publish_saved_model",
    "publish_tflite",
    "refused",
    "report",
    "saved_model",
    "source",
    "tflite",
    "to_onnx",
    "verify_converted",
    "verify_saved_model",
    "verify_source",
    "verify_tflite",
    "verify_to_onnx",
]

_TRAINERS = {
    Framework.TORCH: ("torch", "pipeline.train.pytorch"),
    Framework.KERAS: ("tensorflow", "pipeline.train.keras_model"),
    Framework.STATIC_GRAPH: ("tensorflow", "pipeline.train.tensorflow_graph"),
}
"""Worker and module of the frameworks whose networks are code."""

# Files that compute in integers clip what lies outside the calibrated range; only the others are asked about it.
_OWN_DATA = ("golden", "evaluation")
_IN_RANGE = (*_OWN_DATA, "random", "edge")
_EVERYWHERE = (*_IN_RANGE, "huge")

_SPEC = {"spec": "spec/spec.json"}
_CALLS = {**_SPEC, "probes": "probes"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build.

    Attributes:
        model: the model.
        config: what was asked for.
        build: the build folder.
        keep: how many versions of a servable stay, or None for all.
        all_recipes: those that there are.
    """

    model: Model
    config: ExportConfig
    build: Path
    keep: int | None = None
    all_recipes: tuple[Recipe, ...] = field(default_factory=load_recipes)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes that become files."""
        return tuple(recipe for recipe in self._asked if recipe.name not in self.left_out)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the recipes that are asked for, but want data that the model does not have."""
        return () if self.model.has_data else tuple(recipe.name for recipe in self._asked if recipe.needs_calibration)

    @property
    def _asked(self) -> list[Recipe]:
        wanted = self.model.recipes if self.config.recipes is None else self.config.recipes
        return [recipe for recipe in self.all_recipes if wanted is None or recipe.name in wanted]

    def goes_through_onnx(self, network: str) -> bool:
        """Whether a network comes to TensorFlow by ONNX."""
        return self.model.network(network).framework in (Framework.TORCH, Framework.ONNX)

    def is_exported_to_onnx(self, network: str) -> bool:
        """Whether the ONNX file of a network is made here."""
        return self.model.network(network).framework is Framework.TORCH

    def source(self, network: str) -> str:
        """The stage that a network comes from, trained or loaded."""
        chosen = self.model.network(network)
        return f"{'load' if chosen.weights or chosen.file else 'train'}.{network}"

    def truth(self, network: str) -> str:
        """The stage whose answers a network has to give: its own, unless the model has an oracle or a reference."""
        if self.model.oracle:
            return "oracle"
        return self.source(self.model.reference or network)

    def onnx(self, network: str) -> str:
        """The folder with the ONNX file of a network."""
        return f"to_onnx.{network}" if self.is_exported_to_onnx(network) else f"file.{network}"

    def hops(self, network: str) -> list[str]:
        """The verifications that a network has behind it when its SavedModel is made, in order."""
        hops = [f"verify.{self.source(network)}"]
        if self.is_exported_to_onnx(network):
            hops.append(f"verify.to_onnx.{network}")
        if self.goes_through_onnx(network):
            hops.append(f"to_tensorflow.{network}")
        return hops

    @property
    def converters(self) -> tuple[str, ...]:
        """The converters that are run, the preferred one first.

        Raises:
            SpecError: the model's spec names one that there is not, or none.
        """
        wanted = (self.config.converter,) if self.config.converter else self.model.converters
        unknown = sorted(set(wanted) - set(CONVERTERS))
        if unknown or not wanted:
            raise SpecError(
                f"model {self.model.name}: converters are {list(wanted)}; there are: {', '.join(CONVERTERS)}"
            )
        return wanted

    @property
    def opset(self) -> int:
        """The ONNX opset that networks are exported in: the newest that each converter knows well."""
        return self.config.opset or min(NEWEST_OPSETS[converter] for converter in self.converters)

    def refusal_to_convert(self, network: str) -> Refusal | None:
        """Why the only converter is expected not to take a network, or None."""
        if not self.goes_through_onnx(network) or len(self.converters) > 1:
            return None
        return expected_refusal(self.model.refusals, self.converters[0], "to_tensorflow")

    @property
    def exported(self) -> list[str]:
        """Names of the networks that are expected to reach a SavedModel."""
        return [network.name for network in self.model.networks if not self.refusal_to_convert(network.name)]

    @property
    def data_code(self) -> tuple[str, ...]:
        """The module with the model's data, which is imported by name."""
        return (self.model.data,) if self.model.data else ()

    @property
    def data_files(self) -> dict[str, str]:
        """The file with the model's data."""
        return {"calibration": self.model.calibration} if self.model.calibration else {}


def probes(plan: Plan) -> Stage:
    """The inputs on which both sides of every hop have to agree."""
    return Stage(
        "probes",
        "pipeline.verify.probes:generate",
        worker="litert",
        inputs=_SPEC,
        files=plan.data_files,
        code=plan.data_code,
    )


def oracle(plan: Plan) -> Stage:
    """The oracle's answers to every probe."""
    return Stage(
        "oracle",
        "pipeline.oracle:train",
        worker="litert",
        inputs=_CALLS,
        params={"seed": plan.config.seed},
        code=(plan.model.oracle,),
    )


def golden(plan: Plan, truth: str) -> Stage:
    """Golden vectors, with the answers of that stage."""
    return Stage(
        f"golden.{truth}",
        "pipeline.golden:make_golden",
        worker="litert",
        inputs={**_CALLS, "outputs": f"{truth}/outputs.npz"},
        params={"seed": plan.config.seed},
        title="golden",
    )


def source(plan: Plan, network: str) -> list[Stage]:
    """A network, trained or loaded in its own framework."""
    chosen = plan.model.network(network)
    if chosen.file:
        return _from_file(plan, network)
    worker, trainer = _TRAINERS[chosen.framework]
    stage = Stage(
        plan.source(network),
        f"{trainer}:{'load' if chosen.weights else 'train'}",
        worker=worker,
        inputs=_CALLS,
        params={"network": network, **({} if chosen.weights else {"seed": plan.config.seed})},
        files={"weights": str(plan.model.folder / chosen.weights)} if chosen.weights else {},
        code=(chosen.factory[0],),
    )
    return [stage]


def _from_file(plan: Plan, network: str) -> list[Stage]:
    chosen = plan.model.network(network)
    path = plan.model.folder / chosen.file
    kind = FILES[path.suffix.lower()]
    load = Stage(
        plan.source(network),
        "pipeline.train.from_file:load",
        worker=kind.worker,
        inputs={**_CALLS, "file": f"file.{network}/model{path.suffix.lower()}"},
        params={"network": network, "runtime": kind.runtime},
    )
    # The spec of a bare file is read out of that copy, which is there already.
    return [load] if _has(plan, f"file.{network}") else [taken(chosen, path), load]


def _has(plan: Plan, name: str) -> bool:
    return any(stage.name == name for stage in plan.model.spec)


def verify_source(plan: Plan, network: str) -> Stage:
    """The network in its own framework against the oracle or the reference, where it has one."""
    own, truth = plan.source(network), plan.truth(network)
    chosen = plan.model.network(network)
    return Stage(
        f"verify.{own}",
        "pipeline.verify.stages:verify_network",
        worker="litert",
        inputs={
            **_CALLS,
            "actual": f"{own}/outputs.npz",
            **({} if own == truth else {"expected": f"{truth}/outputs.npz"}),
        },
        params={
            "hop": own.partition(".")[0],
            "runtime": FILES[Path(chosen.file).suffix.lower()].runtime if chosen.file else chosen.framework.value,
        },
        title=own,
    )


def to_onnx(plan: Plan, network: str) -> Stage:
    """The PyTorch network as an ONNX file."""
    chosen = plan.model.network(network)
    if chosen.file:
        call, inputs = "pipeline.to_onnx:export_program", {"program": f"file.{network}/model.pt2"}
    else:
        call, inputs = "pipeline.to_onnx:export_onnx", {"weights": f"{plan.source(network)}/weights.safetensors"}
    return Stage(
        f"to_onnx.{network}",
        call,
        worker="torch",
        inputs={**_SPEC, **inputs},
        params={
            "network": network,
            "exporter": plan.config.exporter,
            "opset": plan.opset,
        },
        after=(f"verify.{plan.source(network)}",),
        code=() if chosen.file else (chosen.factory[0],),
    )


def verify_to_onnx(plan: Plan, network: str) -> Stage:
    """The ONNX file in ONNX Runtime against the network in PyTorch."""
    return _verify(
        "to_onnx",
        network,
        worker="litert",
        before=plan.source(network),
        artifact=f"to_onnx.{network}/model.onnx",
        runtimes={"onnxruntime": "runtimes.onnx_runtime"},
    )


def convert(plan: Plan, network: str, converter: str) -> Stage:
    """The ONNX file as a SavedModel by one of the converters."""
    return Stage(
        f"convert.{converter}.{network}",
        "pipeline.to_tensorflow.stages:convert",
        worker="tensorflow",
        inputs={"onnx": plan.onnx(network)},
        params={"converter": converter, "is_optional": len(plan.converters) > 1},
        after=(plan.hops(network)[-2],),
        code=(CONVERTERS[converter],),
        title=f"to_tensorflow.{network}",
    )


def verify_converted(plan: Plan, network: str, converter: str) -> Stage:
    """That SavedModel from disk against the ONNX file."""
    return _verify(
        "to_tensorflow",
        f"{converter}.{network}",
        worker="tensorflow_c",
        before=f"verify.to_onnx.{network}" if plan.is_exported_to_onnx(network) else plan.source(network),
        artifact=f"convert.{converter}.{network}",
        name="saved_model",
        runtimes={"tensorflow_c": "runtimes.tensorflow_c"},
        is_optional=len(plan.converters) > 1,
        title=f"to_tensorflow.{network}",
    )


def choose_converter(plan: Plan, network: str) -> Stage:
    """The SavedModel that goes on: of the first converter that passed."""
    made = {f"saved_model_{at}": f"convert.{name}.{network}" for at, name in enumerate(plan.converters)}
    verified = {f"verified_{at}": f"verify.to_tensorflow.{name}.{network}" for at, name in enumerate(plan.converters)}
    return Stage(
        f"to_tensorflow.{network}",
        "pipeline.to_tensorflow.choice:choose",
        worker="litert",
        inputs={**made, **verified},
        params={"converters": plan.converters},
    )


def saved_model(plan: Plan, network: str) -> Stage:
    """The SavedModel for TF Serving, with all signatures."""
    chosen = plan.model.network(network)
    code: tuple[str, ...] = ()
    if plan.goes_through_onnx(network):
        call, made_from = "export_converted", {"saved_model": f"to_tensorflow.{network}/saved_model"}
    elif chosen.file:
        call, made_from = "export_keras_file", {"file": f"file.{network}/model.keras"}
    else:
        is_keras = chosen.framework is Framework.KERAS
        call = "export_keras" if is_keras else "export_static_graph"
        made_from, code = {"weights": f"{plan.source(network)}/weights.safetensors"}, (chosen.factory[0],)
    return Stage(
        f"saved_model.{network}",
        f"export.saved_model:{call}",
        worker="tensorflow",
        inputs={**_SPEC, "golden": f"golden.{plan.truth(network)}/golden.json", **made_from},
        params={"network": network},
        after=(plan.hops(network)[-1],),
        code=code,
    )


def verify_saved_model(plan: Plan, network: str) -> Stage:
    """Every signature of the SavedModel, from disk, against the step before."""
    before = plan.hops(network)[-1] if plan.goes_through_onnx(network) else plan.source(network)
    return Stage(
        f"verify.saved_model.{network}",
        "pipeline.verify.signatures:verify_saved_model",
        worker="tensorflow_c",
        inputs={**_CALLS, "expected": f"{before}/outputs.npz", "artifact": f"saved_model.{network}/saved_model"},
        params={"kinds": _EVERYWHERE},
        code=("runtimes.tensorflow_c",),
        title=f"saved_model.{network}",
    )


def publish_saved_model(plan: Plan, network: str) -> Stage:
    """The SavedModel as a version that TF Serving finds."""
    return Stage(
        f"publish.{network}",
        "export.publish:publish_saved_model",
        worker=None,
        inputs={"saved_model": f"saved_model.{network}/saved_model", **_history(plan, network)},
        params={**_names(plan, network), "config": plan.config.to_dict(), "keep": plan.keep},
        publishes=True,
        title="publish",
    )


def tflite(plan: Plan, network: str, recipe: Recipe) -> Stage:
    """The SavedModel as a TFLite file."""
    refusal = expected_refusal(plan.model.refusals, "tflite_converter", recipe.name)
    return Stage(
        f"tflite.{network}.{recipe.name}",
        "export.tflite:convert_tflite",
        worker="tensorflow",
        inputs={**_SPEC, "saved_model": f"saved_model.{network}/saved_model"},
        params={
            "recipe": recipe.to_dict(),
            # Of a model that nobody has described it is not known which recipes suit it; float32 has to.
            "is_optional": plan.model.is_lenient and plan.config.recipes is None and recipe.name != "float32",
            "refusal": refusal.reason if refusal else None,
        },
        files=plan.data_files if recipe.needs_calibration else {},
        after=(f"verify.saved_model.{network}",),
        code=plan.data_code if recipe.needs_calibration else (),
        title=f"tflite.{network}",
    )


def verify_tflite(plan: Plan, network: str, recipe: Recipe) -> Stage:
    """The TFLite file in every TFLite runtime against the SavedModel."""
    calibrated = _IN_RANGE if plan.model.covers_range else _OWN_DATA
    return _verify(
        f"tflite.{recipe.name}",
        network,
        worker="litert",
        before=f"verify.saved_model.{network}",
        artifact=f"tflite.{network}.{recipe.name}",
        name="model.tflite",
        runtimes={
            "tflite_runtime": "runtimes.tflite_runtime_interpreter",
            "ai_edge_litert": "runtimes.litert_interpreter",
        },
        kinds=calibrated if recipe.needs_calibration else _EVERYWHERE,
        is_lenient=plan.model.is_lenient,
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
            "converted": made,
            "verified": f"verify.tflite.{recipe.name}.{network}",
            **_history(plan, network, f"verify.tflite.{recipe.name}.{network}"),
        },
        params={**_names(plan, network), "recipe": recipe.name, "config": plan.config.to_dict()},
        publishes=True,
        title="publish",
    )


def refused(stage: Stage, refusal: Refusal) -> Stage:
    """A conversion that is expected to fail, in place of the one that would succeed."""
    return replace(
        stage,
        name=f"refused.{stage.name}",
        call="pipeline.refusal:expect_refusal",
        params={
            "hop": refusal.what,
            "by": refusal.by,
            "reason": refusal.reason,
            "call": stage.call,
            "params": stage.params,
        },
        code=(*stage.code, stage.call.partition(":")[0]),
    )


def publish_golden(plan: Plan, network: str) -> Stage:
    """The golden vectors of a servable where devices take them from."""
    return Stage(
        f"publish.golden.{network}",
        "export.publish:publish_golden",
        worker=None,
        inputs={"golden": f"golden.{plan.truth(network)}/golden.json"},
        params={"servable": plan.model.servable(network)},
        after=(f"publish.{network}",),
        publishes=True,
        title="publish",
    )


def publish_models_config(plan: Plan) -> Stage:
    """``models.config`` for every servable in the build folder, those of other models included."""
    serving = plan.build / "serving"
    others = {folder.name for folder in serving.glob("[!.]*") if versions(folder)}
    ours = {plan.model.servable(network) for network in plan.exported}
    return Stage(
        "publish.models_config",
        "export.models_config:write_models_config",
        worker=None,
        params={"servables": sorted(others | ours), "base": str(serving.resolve())},
        after=tuple(f"publish.{network}" for network in plan.exported),
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

    for network in plan.model.networks:
        name, servable = network.name, plan.model.servable(network.name)
        add(_shown(network), f"verify.{plan.source(name)}")
        if plan.is_exported_to_onnx(name):
            key = add(f"{servable}.onnx", f"verify.to_onnx.{name}", artifact="model.onnx")
            inputs[f"artifact_{key}"] = f"to_onnx.{name}"
        if plan.refusal_to_convert(name):
            add(f"{servable} by {plan.converters[0]}", f"refused.convert.{plan.converters[0]}.{name}")
            continue
        if plan.goes_through_onnx(name):
            for converter in plan.converters:
                add(f"{servable} by {converter}", f"verify.to_tensorflow.{converter}.{name}")
        key = add(
            servable,
            f"verify.saved_model.{name}",
            artifact="saved_model",
            published=f"serving/{servable}/{{version}}",
        )
        inputs[f"artifact_{key}"] = f"saved_model.{name}"
        inputs[f"version_{key}"] = f"publish.{name}/version.json"
        for recipe in plan.recipes:
            file = f"{servable}.{recipe.name}.tflite"
            verified = f"verify.tflite.{recipe.name}.{name}"
            key = add(file, verified, artifact="model.tflite", published=f"tflite/{file}")
            inputs[f"artifact_{key}"] = f"tflite.{name}.{recipe.name}"
    return Stage(
        "report",
        "export.report:write_report",
        worker=None,
        inputs=inputs,
        params={
            "model": plan.model.name,
            "origin": dict(plan.model.origin),
            "config": plan.config.to_dict(),
            "rows": rows,
        },
        publishes=True,
    )


def _verify(
    hop: str,
    network: str,
    *,
    worker: str,
    before: str,
    artifact: str,
    runtimes: dict[str, str],
    kinds: tuple[str, ...] = _EVERYWHERE,
    name: str = "",
    is_lenient: bool = False,
    is_optional: bool = False,
    title: str = "",
) -> Stage:
    return Stage(
        f"verify.{hop}.{network}",
        "pipeline.verify.stages:verify_file",
        worker=worker,
        inputs={**_CALLS, "expected": f"{before}/outputs.npz", "artifact": artifact},
        params={
            "hop": hop,
            "on": list(runtimes),
            "kinds": kinds,
            "name": name,
            "is_lenient": is_lenient,
            "is_optional": is_optional,
        },
        code=tuple(runtimes.values()),
        title=title or f"{hop}.{network}",
    )


def _shown(network: Network) -> str:
    """A network as a report calls it: by its file or factory, or as the only one of its framework."""
    if network.file:
        return Path(network.file).name
    return network.module if ":" in network.module else f"{network.framework.value} network {network.name}"


def _names(plan: Plan, network: str) -> dict[str, Any]:
    return {"model": plan.model.name, "servable": plan.model.servable(network)}


def _history(plan: Plan, network: str, *last: str) -> dict[str, str]:
    """What the manifest tells of the way: the files that something was made from, and the parity of each hop."""
    hops = [*plan.hops(network), f"verify.saved_model.{network}", *last]
    file = plan.model.network(network).file
    made_from = {
        "weights": f"{plan.source(network)}/weights.safetensors",
        "golden": f"golden.{plan.truth(network)}/golden.json",
    }
    if file:
        made_from["weights"] = f"file.{network}/model{Path(file).suffix.lower()}"
    if plan.goes_through_onnx(network):
        onnx = plan.onnx(network)
        made_from |= {"onnx": f"{onnx}/model.onnx", "onnx_info": f"{onnx}/onnx.json"}
    return {f"made_from_{name}": path for name, path in made_from.items()} | {
        f"parity_{position:02}": f"{hop}/parity.json" for position, hop in enumerate(hops)
    }
