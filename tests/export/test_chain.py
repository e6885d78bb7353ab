"""The list of all stages, as data: no framework is needed to look at it."""

import ast
import importlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from contract.model_spec import Framework, ModelSpec, Network, Refusal
from export.chain import chain
from export.config import EXPORTERS, ExportConfig
from export.model import model_of_spec
from export.recipes import load_recipes
from export.stages import Plan
from models.or_gate.spec import SPEC
from pipeline.worker import PRELOADS

ROOT = Path(__file__).parents[2]


def plan(spec: ModelSpec = SPEC, **changes) -> Plan:
    return Plan(model_of_spec(spec), **{"config": ExportConfig(), "build": Path("no such build folder"), **changes})


@pytest.fixture
def stages():
    return chain(plan())


def reachable(stages, name: str) -> set[str]:
    """Every stage that has to be done before this one."""
    by_name = {stage.name: stage for stage in stages}
    found: set[str] = set()
    pending = [name]
    while pending:
        new = by_name[pending.pop()].predecessors - found
        found |= new
        pending += new
    return found


def test_names_are_unique_and_every_reference_is_to_an_earlier_stage(stages):
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    for position, stage in enumerate(stages):
        assert stage.predecessors <= set(names[:position]), stage.name


def test_there_is_no_cycle(stages):
    order = list(TopologicalSorter({stage.name: stage.predecessors for stage in stages}).static_order())
    assert len(order) == len(stages)


def test_the_or_gate_has_85_stages(stages):
    count = Counter(stage.name.partition(".")[0] for stage in stages)
    recipes = 6 * 3
    assert count == {
        "spec": 1,
        "probes": 1,
        "oracle": 1,
        "golden": 1,
        "train": 3,
        "to_onnx": 1,
        "convert": 2,
        "to_tensorflow": 1,
        "saved_model": 3,
        "tflite": recipes,
        "verify": 3 + 1 + 2 + 3 + recipes,
        "publish": 3 + recipes + 3 + 1,  # and golden vectors, models.config
        "report": 1,
    }
    assert len(stages) == 85


def test_every_hop_is_verified_before_what_follows(stages):
    hops = (
        {
            f"{hop}.{network.name}": f"verify.{hop}.{network.name}"
            for network in SPEC.networks
            for hop in ("train", "to_onnx", "saved_model")
            if hop in {"train", "saved_model"} or network.framework is Framework.TORCH
        }
        | {f"convert.{converter}.pytorch": f"verify.to_tensorflow.{converter}.pytorch" for converter in SPEC.converters}
        | {
            f"tflite.{network.name}.{recipe.name}": f"verify.tflite.{recipe.name}.{network.name}"
            for network in SPEC.networks
            for recipe in load_recipes()
        }
    )
    conversions = {
        stage.name
        for stage in stages
        if not stage.name.startswith(
            ("verify.", "publish.", "report", "golden", "spec", "probes", "oracle", "to_tensorflow.")
        )
    }
    assert set(hops) == conversions
    for stage in stages:
        before = reachable(stages, stage.name)
        for conversion in before & conversions:
            assert hops[conversion] in before or stage.name == hops[conversion], (
                f"{stage.name} does not wait for {hops[conversion]}"
            )


def test_each_verification_reads_what_it_verifies_and_the_answers_of_the_step_before(stages):
    pytorch = {stage.name: stage for stage in stages if stage.name.startswith("verify.") and "pytorch" in stage.name}
    assert {name: (stage.inputs["expected"], stage.inputs.get("artifact")) for name, stage in pytorch.items()} == {
        "verify.train.pytorch": ("oracle/outputs.npz", None),
        "verify.to_onnx.pytorch": ("train.pytorch/outputs.npz", "to_onnx.pytorch/model.onnx"),
        "verify.saved_model.pytorch": ("to_tensorflow.pytorch/outputs.npz", "saved_model.pytorch/saved_model"),
    } | {
        f"verify.to_tensorflow.{converter}.pytorch": (
            "verify.to_onnx.pytorch/outputs.npz",
            f"convert.{converter}.pytorch",
        )
        for converter in SPEC.converters
    } | {
        f"verify.tflite.{recipe.name}.pytorch": (
            "verify.saved_model.pytorch/outputs.npz",
            f"tflite.pytorch.{recipe.name}",
        )
        for recipe in load_recipes()
    }


def test_the_report_comes_last_and_waits_for_every_verification(stages):
    assert stages[-1].name == "report"
    assert {stage.name for stage in stages if stage.name.startswith("verify.")} <= reachable(stages, "report")


def test_files_are_published_only_by_stages_of_our_own_process(stages):
    ours = {stage.name for stage in stages if not stage.worker}
    assert {stage.name for stage in stages if stage.publishes} == ours - {"spec"}


def test_every_worker_is_known(stages):
    assert {stage.worker for stage in stages if stage.worker} == set(PRELOADS)


def test_every_call_and_every_module_named_as_code_is_a_file_of_ours(stages):
    for stage in stages:
        module, _, function = stage.call.partition(":")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        arguments = functions[function].args
        given = {"out", *stage.inputs, *stage.params, *stage.files, *(["build"] if stage.publishes else [])}
        optional = {a.arg for a, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value}
        wanted = {argument.arg for argument in arguments.kwonlyargs} - (optional - given)
        assert wanted <= given, stage.name
        assert given == wanted or arguments.kwarg, f"{stage.name} is given {given - wanted}, which it does not take"
        for name in stage.code:
            assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), name


def test_the_stages_of_a_network_are_there_for_each_framework(stages):
    only_keras = replace(SPEC, networks=(Network("alone", Framework.KERAS, "models.or_gate.keras_net"),))
    names = {stage.name for stage in chain(plan(spec=only_keras, config=ExportConfig(recipes=("float32",))))}
    assert names == {
        *("spec", "probes", "oracle", "golden.oracle", "train.alone", "verify.train.alone"),
        *("saved_model.alone", "verify.saved_model.alone", "publish.alone"),
        *("tflite.alone.float32", "verify.tflite.float32.alone", "publish.tflite.alone.float32"),
        *("publish.golden.alone", "publish.models_config", "report"),
    }


def test_without_an_oracle_each_network_is_its_own_truth():
    stages = {stage.name: stage for stage in chain(plan(replace(SPEC, oracle="")))}
    assert "oracle" not in stages
    assert {name for name in stages if name.startswith("golden.")} == {
        f"golden.train.{network.name}" for network in SPEC.networks
    }
    assert "expected" not in stages["verify.train.keras"].inputs
    assert stages["publish.golden.keras"].inputs == {"golden": "golden.train.keras/golden.json"}


def test_a_reference_is_what_the_others_are_held_against():
    stages = {stage.name: stage for stage in chain(plan(replace(SPEC, oracle="", reference="keras")))}
    assert {name for name in stages if name.startswith("golden.")} == {"golden.train.keras"}
    assert "expected" not in stages["verify.train.keras"].inputs
    assert stages["verify.train.pytorch"].inputs["expected"] == "train.keras/outputs.npz"


def test_a_network_that_the_converter_is_expected_to_refuse_ends_there():
    refusal = Refusal("onnx-tf", "to_tensorflow", "it lacks an operator")
    stages = chain(plan(replace(SPEC, refusals=(refusal,), converters=("onnx-tf",))))
    names = {stage.name for stage in stages}
    assert {name for name in names if name.endswith(".pytorch")} == {
        *("train.pytorch", "verify.train.pytorch", "to_onnx.pytorch", "verify.to_onnx.pytorch"),
        "refused.convert.onnx-tf.pytorch",
    }
    assert "refused.convert.onnx-tf.pytorch" in reachable(stages, "report")
    assert "saved_model.keras" in names


def test_recipes_of_the_spec_are_those_that_are_made_unless_others_are_asked_for():
    spec = replace(SPEC, recipes=("float16",))
    assert [recipe.name for recipe in plan(spec).recipes] == ["float16"]
    assert [recipe.name for recipe in plan(spec, config=ExportConfig(recipes=("int8",))).recipes] == ["int8"]


def test_recipes_that_need_data_are_left_out_without_data():
    without = plan(replace(SPEC, data=""))
    assert [recipe.name for recipe in without.recipes] == ["float32", "float16", "dynamic"]
    assert without.left_out == ("int8", "int8_float_io", "int16x8")


def test_the_chain_is_planned_with_the_standard_library_alone():
    program = """
import sys
before = set(sys.modules)
from pathlib import Path
from export.chain import chain
from export.config import ExportConfig
from export.model import model_of_spec
from export.stages import Plan
from models import load_spec
assert len(chain(Plan(model_of_spec(load_spec("or_gate")), ExportConfig(), Path("nowhere")))) > 1
ours = {"contract", "export", "inspection", "models", "pipeline"}
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(roots - ours - set(sys.stdlib_module_names)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow  # ONNX and PyTorch
def test_what_can_be_asked_for_is_what_there_is():
    converter = importlib.import_module("pipeline.to_tensorflow.converter")
    to_onnx = importlib.import_module("pipeline.to_onnx")
    assert set(EXPORTERS) == {exporter.value for exporter in to_onnx.Exporter}
    codes = {name: chain(plan(config=ExportConfig(converter=name))) for name in converter.CONVERTERS}
    for name, stages in codes.items():
        [conversion] = [stage for stage in stages if stage.name.startswith("convert.")]
        assert conversion.code == (converter.CONVERTERS[name],)
