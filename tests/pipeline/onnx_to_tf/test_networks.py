"""Real networks through the converter: equal to ONNX Runtime as a SavedModel and as TFLite of built-in operators."""

import pytest

from benchmarks.onnx_networks.catalogue import CASES
from benchmarks.onnx_networks.running import run_case

pytestmark = pytest.mark.slow

IN_CI = {
    "audio_stft.torchscript",
    "causal_decoder.dynamo",
    "gradient_boosting_classifier.skl2onnx",
    "gru_seq2seq.torchscript",
    "lstm_tagger_lengths.torchscript",
    "mobilenet_v3_small.dynamo",
    "resnet18.torchscript",
    "transformer_encoder.dynamo",
    "unet.dynamo",
}

NOT_BUILT_IN: dict[str, str] = {}
"""Networks that are no TFLite file of built-in operators, by name and variant, with the reason."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in IN_CI else pytest.mark.long) for case in CASES]
)
@pytest.mark.timeout(3600)
def test_network(case, tmp_path):
    for row in run_case(case, tmp_path, variants=case.name not in IN_CI):
        name = f"{case.name} {row.variant}"
        assert row.is_equal, (name, row.result)
        assert row.is_built_in == (name not in NOT_BUILT_IN), (name, row.result["tflite"])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_the_catalogue_has_every_network_by_each_of_its_exporters():
    from benchmarks.onnx_networks.export import NETWORKS
    from benchmarks.onnx_networks.tables import TABLES

    made = {f"{name}.{by}" for name, network in NETWORKS.items() for by in network.exporters}
    assert made | {f"{name}.skl2onnx" for name in TABLES} == {case.name for case in CASES}
    for network in NETWORKS.values():
        assert set(network.exporters) | set(network.why_not) == {"dynamo", "torchscript"}
