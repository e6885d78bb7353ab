"""Parses the command line, runs a verb, and turns errors into one line and an exit status."""

import argparse
import importlib
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from contract.errors import ShowdownError, StageError, UsageError
from contract.files import storage_errors

__all__ = ["FAILED", "INTERRUPTED", "OK", "TERMINATED", "USAGE", "main", "parser"]

OK, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_ROOT = Path(__file__).resolve().parent.parent

_VERBS = {
    "export": "cli.export:export",
    "verify": "cli.export:verify",
    "evaluate": "cli.export:evaluate",
    "new": "cli.new:new",
    "versions": "cli.versions:versions",
    "doctor": "cli.doctor:doctor",
    "convert": "cli.convert:convert",
    "inspect": "cli.inspect:inspect",
    "predict": "cli.predict:predict",
    "serve": "cli.serve:serve",
    "clean": "cli.clean:clean",
    "completion": "cli.completion:completion",
}

_EPILOG = """\
start here:
  showdown export                      train the OR network and build every file, proven equal at each hop
  showdown export resnet.onnx          the same with a file of yours: .onnx, .keras or .pt2
  showdown new flowers --from torch    begin models/flowers/; then showdown export flowers
  showdown verify                      prove the parity of every hop anew, and that no published file has changed
  showdown VERB --help                 what a verb does, and its options

exit status: 0 done, 1 failed, 2 asked for something that is not there, 130 interrupted, 143 terminated
"""


def parser() -> argparse.ArgumentParser:
    """The command line; ``verb`` in what it parses names the function to call."""
    top = argparse.ArgumentParser(
        prog="showdown",
        description="From a trained network to TensorFlow Serving and TFLite, proven equal at every hop.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--build-dir", type=Path, default=_ROOT / "build", metavar="DIR", help="default: build/")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")

    _add_chain_verbs(verbs, common)

    versions = verbs.add_parser(
        "versions",
        parents=[common],
        help="list what is published, and how it was made",
        description="Lists every version of every servable and every TFLite file in the build folder: what it was made "
        "from and by what, and which runtimes verified it.",
    )
    versions.add_argument("servable", nargs="?", metavar="SERVABLE", help="such as or_gate_keras; default: all")
    versions.add_argument("--check", action="store_true", help="hold every file against the digest in its manifest")
    versions.add_argument("--json", action="store_true", help="print the list as JSON")

    doctor = verbs.add_parser(
        "doctor",
        parents=[common],
        help="say what is missing on this machine",
        description="Looks at the machine and what is installed, starts every framework and runtime, and says for what "
        "is missing or broken how to get it. Exit status 0 when the chain can run.",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")

    _add_file_verbs(verbs)
    _add_serve(verbs, common)

    clean = verbs.add_parser(
        "clean",
        parents=[common],
        help="remove the cache and the logs",
        description="Removes the cache and the logs. Published files stay.",
    )
    clean.add_argument("--all", action="store_true", help="remove the published files too")

    completion = verbs.add_parser(
        "completion",
        parents=[common],
        help="print a script for tab completion",
        description='Prints a completion script. For bash: eval "$(showdown completion bash)"',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return top


def _add_chain_verbs(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """The verbs that run the chain, or make what it runs on."""
    report = argparse.ArgumentParser(add_help=False)
    report.add_argument("--json", action="store_true", help="print the report as JSON; progress goes to standard error")

    export = verbs.add_parser(
        "export",
        parents=[report, common],
        help="run the chain: train, convert, verify, publish",
        description="Trains or loads a model's networks, converts them, verifies every hop, and publishes SavedModels "
        "to build/serving/ and TFLite files to build/tflite/. What did not change is not made again.",
    )
    export.add_argument(
        "model",
        nargs="?",
        default="or_gate",
        metavar="MODEL",
        help="a folder in models/, an .onnx, .keras or .pt2 file, or module:factory; default: or_gate",
    )
    export.add_argument("--seed", type=int, default=0, help="of the starting weights; default: 0")
    export.add_argument("--exporter", default="dynamo", metavar="NAME", help="dynamo (default) or torchscript")
    export.add_argument(
        "--opset", type=int, metavar="N", help="ONNX opset, 18 or newer; default: the newest that the converter knows"
    )
    export.add_argument(
        "--converter",
        metavar="NAME",
        help="ONNX to TensorFlow: showdown or onnx-tf; default: those of the model's spec",
    )
    export.add_argument("--recipes", metavar="NAME,NAME", help="TFLite recipes; default: the spec's, or all")
    export.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N versions; default: keep all")

    brought = export.add_argument_group("for a file or module:factory, which have no folder in models/")
    brought.add_argument(
        "--name", metavar="NAME", help="what it is served as; default: the file's or the module's name"
    )
    brought.add_argument(
        "--calibration", type=Path, metavar="FILE.npz", help="representative inputs: an array an input, a row a call"
    )
    brought.add_argument(
        "--axis",
        action="append",
        default=[],
        metavar="NAME=N,N",
        help="sizes that a dynamic axis is tried with, such as height=224,256",
    )
    brought.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="HOP=PART",
        help="how far a hop may be off, as part of the largest value, such as tflite.int8=0.3",
    )
    brought.add_argument("--from", dest="framework", default="torch", metavar="NAME", help="torch (default) or keras")
    brought.add_argument(
        "--weights", type=Path, metavar="FILE", help="of module:factory: .safetensors, .pt, .pth or .weights.h5"
    )
    brought.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SPEC",
        help="what module:factory takes, such as 'x:float32[batch,3,224,224]'; once for each input",
    )
    brought.add_argument(
        "--output", action="append", default=[], metavar="NAME", help="names of what module:factory gives, in its order"
    )

    exported = argparse.ArgumentParser(add_help=False)
    exported.add_argument(
        "model", nargs="?", default="or_gate", metavar="MODEL", help="what was exported, by its name; default: or_gate"
    )
    verbs.add_parser(
        "verify",
        parents=[exported, report, common],
        help="prove the parity of every hop anew",
        description="Holds every published file against its manifest, and runs every verification of the last export "
        "again, cached or not.",
    )
    verbs.add_parser(
        "evaluate",
        parents=[exported, report, common],
        help="measure the accuracy of every file",
        description="Shows how many rows of the model's labelled data the trained network, the ONNX file, the "
        "SavedModel and each TFLite file get right, in every runtime. What was measured of the same bytes is not "
        "measured again.",
    )

    new = verbs.add_parser(
        "new",
        parents=[common],
        help="begin a model of your own",
        description="Writes a short models/NAME/ that trains, exports and passes its tests, to be changed into yours.",
    )
    new.add_argument("name", metavar="NAME", help="a Python name, such as flowers")
    new.add_argument(
        "--from",
        dest="framework",
        required=True,
        choices=["torch", "keras", "onnx"],
        help="what the network is made in",
    )
    new.add_argument("--file", type=Path, metavar="FILE.onnx", help="with --from onnx: your file, which is copied")


def _add_file_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verbs that look at one file, whoever wrote it, and build nothing."""
    common = argparse.ArgumentParser(add_help=False)
    common.set_defaults(build_dir=_ROOT / "build")
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", type=Path, metavar="FILE", help="a model file, or the folder of a SavedModel")

    verbs.add_parser(
        "inspect",
        parents=[file, common],
        help="show what a model file holds",
        description="Shows inputs, outputs, operators, weights and manifest of an ONNX, SavedModel, TFLite, "
        "safetensors or torch.export (.pt2) file. The model is not run, and no code in it is.",
    )

    predict = verbs.add_parser(
        "predict",
        parents=[common],
        help="run a model file, or a model on a server, on inputs",
        description="Runs an ONNX, SavedModel or TFLite file once, or a model on a server. Numbers are real numbers, "
        "in quantized files too.",
    )
    predict.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="a model file, or the folder of a SavedModel"
    )
    predict.add_argument(
        "--input",
        required=True,
        metavar="JSON|FILE",
        help="JSON such as '{\"x\": [[0, 1]]}', or '[[0, 1]]' for a model with one input; else a .json or .npz file",
    )
    predict.add_argument("--signature", metavar="NAME", help="default: serving_default")
    predict.add_argument("--runtime", metavar="NAME", help="of a file; default: the first that takes the format")
    predict.add_argument("--allow-nan", action="store_true", help="let NaN into the model")

    _add_convert(verbs, common)

    served = predict.add_argument_group("in place of FILE")
    served.add_argument(
        "--server", metavar="HOST:PORT", help="a server's gRPC port, unix:/path of its socket, or http://HOST:PORT"
    )
    served.add_argument("--model", metavar="NAME", help="the model on the server")
    which = served.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="default: the newest")
    which.add_argument("--label", metavar="NAME", help="a version by its label")


def _add_convert(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """The converter by itself."""
    convert = verbs.add_parser(
        "convert",
        parents=[common],
        help="convert an ONNX file to a SavedModel, and prove it equal",
        description="Converts an ONNX file to a SavedModel, loads that from disk and holds it against the file in ONNX "
        "Runtime. Names, types and dynamic axes stay. The file is only read; whatever fails, nothing is left.",
    )
    convert.add_argument("file", type=Path, nargs="?", metavar="FILE.onnx", help="external data lies beside it")
    convert.add_argument("-o", "--output", type=Path, metavar="DIR", help="the folder that becomes the SavedModel")
    convert.add_argument("--tflite", action="store_true", help="write DIR.tflite too, of built-in operators alone")
    convert.add_argument("--force", action="store_true", help="replace the SavedModel, and the .tflite file, of before")
    convert.add_argument(
        "--static", metavar="AXIS=N,AXIS=N", help="fix dynamic axes, such as batch=1; INPUT:0=1 for one without a name"
    )
    convert.add_argument(
        "--operators",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="operators of yours: runs the file and takes `ops` out of it",
    )
    convert.add_argument(
        "--as-defined",
        type=lambda text: text.split(","),
        default=[],
        metavar="OP,OP",
        help="convert these by the definition that the installed onnx has of them, such as Attention",
    )

    verified = convert.add_argument_group("what it is verified with")
    verified.add_argument(
        "--axis",
        action="append",
        default=[],
        metavar="NAME=N,N",
        help="sizes that a dynamic axis is tried with, such as height=224,256",
    )
    verified.add_argument(
        "--input",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.npz",
        help="the inputs of a call, an array for each, instead of random ones",
    )
    verified.add_argument(
        "--rtol",
        type=float,
        metavar="PART",
        help="how far a value may be off, as part of the largest of its tensor; default: 1e-4 for float32",
    )
    verified.add_argument("--atol", type=float, metavar="N", help="and in its own units; default: 1e-6 for float32")

    told = convert.add_argument_group("to find out more")
    told.add_argument(
        "--bisect", action="store_true", help="find the first node that differs, with both values; needs no -o"
    )
    told.add_argument("--coverage", action="store_true", help="list which operators are converted; needs no FILE.onnx")


def _add_serve(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """The server."""
    serve = verbs.add_parser(
        "serve",
        parents=[common],
        help="serve what is published by gRPC and REST",
        usage="showdown serve [option ...] [flag of tensorflow_model_server ...]",
        description="Serves every servable of the build folder, or what the flags name, in TensorFlow Serving's "
        "protocol: gRPC on port 8500 and REST on 8501 of this machine alone. Versions that are published later are "
        "served as they come.",
        epilog="All flags of tensorflow_model_server are taken, such as --port=N --rest_api_port=N "
        "--model_config_file=FILE --model_name=NAME --model_base_path=DIR --enable_batching --prefer_tflite_model; "
        "showdown-model-server --help lists them.",
    )
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1; 0.0.0.0 for all")
    serve.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "embedded", "binary", "docker"],
        help="binary: tensorflow_model_server; docker: print the command for the official image; auto (default): "
        "binary where it is on PATH, else embedded",
    )
    serve.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="processes on the same ports; default: 1"
    )
    serve.add_argument(
        "--require_manifest",
        "--require-manifest",
        action="store_true",
        help="refuse a version whose files are not what its manifest says; the old one stays",
    )
    serve.add_argument(
        "--token_file", "--token-file", type=Path, metavar="FILE", help="clients must show this bearer token"
    )
    serve.add_argument(
        "--tls_cert", "--tls-cert", type=Path, metavar="FILE", help="PEM, for HTTPS; gRPC: --ssl_config_file"
    )
    serve.add_argument("--tls_key", "--tls-key", type=Path, metavar="FILE", help="PEM")
    serve.add_argument(
        "--max_request_mb",
        "--max-request-mb",
        type=_positive,
        default=64,
        metavar="N",
        help="of a request; default: 64",
    )
    serve.add_argument(
        "--grace_seconds",
        "--grace-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="for running calls after SIGTERM; default: 30",
    )
    serve.add_argument("--is_worker", action="store_true", help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    command_line = parser()
    options, flags = command_line.parse_known_args(arguments)
    if options.verb == "serve":
        options.flags = flags  # those of tensorflow_model_server, which the verb knows
    elif flags:
        command_line.error(f"unrecognized arguments: {' '.join(flags)}")
    options.build_dir = options.build_dir.absolute()  # workers run in the project's folder, not where the user stands
    signal.signal(signal.SIGTERM, _terminate)
    module, _, function = _VERBS[options.verb].partition(":")
    try:
        with storage_errors(options.build_dir):
            getattr(importlib.import_module(module), function)(options)
    except KeyboardInterrupt:
        print("showdown: interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        return INTERRUPTED
    except ShowdownError as err:
        if options.debug:
            traceback.print_exc()
        log = f" (log: {err.log})" if isinstance(err, StageError) and err.log else ""
        print(f"showdown: error: {err}{log}", file=sys.stderr)
        return USAGE if isinstance(err, UsageError) else FAILED
    return OK


def _terminate(number: int, frame: FrameType | None) -> None:
    # As an exception it passes through every `finally`: workers end, unfinished files go.
    sys.exit(TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
