"""ONNX to a SavedModel: read, changed by the passes, emitted, saved, and verified from disk."""

import errno
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import tensorflow as tf
from onnx.reference.op_run import OpRun

from contract.errors import UsageError
from contract.files import beside
from contract.hints import hint
from pipeline.onnx_to_tf.coverage import defined_operators
from pipeline.onnx_to_tf.loading import deserialize, read_proto
from pipeline.onnx_to_tf.module import OnnxModule, save
from pipeline.onnx_to_tf.ops import registry
from pipeline.onnx_to_tf.passes import passes, run
from pipeline.onnx_to_tf.passes.drop_zip_maps import DropZipMaps, zip_maps
from pipeline.onnx_to_tf.references import Reference, reference_of
from pipeline.onnx_to_tf.registry import Family, Registry, short_domain
from pipeline.onnx_to_tf.static_axes import fix_axes
from pipeline.onnx_to_tf.tflite import write_tflite
from pipeline.onnx_to_tf.verify import (
    Answers,
    Parts,
    Verification,
    answers,
    check_file,
    run_saved_model,
    run_tflite,
)

__all__ = ["Conversion", "Options", "Source", "convert", "opened", "to_module"]

Progress = Callable[[str], AbstractContextManager[object]]
"""Told the name of each step, in whose context the step runs."""

_LARGEST_IN_ONE_FILE = 1 << 30
"""Bytes of weights: a model in memory with more is written for ONNX Runtime with external data."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is converted, and what it is verified with.

    Attributes:
        static: sizes for dynamic axes, by name or ``INPUT:POSITION``: they are fixed before the conversion.
        tflite: whether a .tflite file is written beside the folder.
        force: whether a SavedModel, and a .tflite file, that are there already are replaced.
        families: operators in addition to ours, which win over them.
        as_defined: names of ONNX's own operators that are converted by the definition that the installed onnx has of
            them, instead of by our function; what is verified then is that they answer as onnx's evaluator does.
        references: operators for onnx's reference evaluator, where ONNX Runtime does not know them.
        axis_sizes: sizes that a dynamic axis is tried with, by its name.
        inputs: .npz files, each with the inputs of a call, instead of random inputs.
        parts: how far a value may be off.
    """

    static: Mapping[str, int] = field(default_factory=dict)
    tflite: bool = False
    force: bool = False
    families: Sequence[Family] = ()
    as_defined: Sequence[str] = ()
    references: Sequence[type[OpRun]] = ()
    axis_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    inputs: Sequence[Path] = ()
    parts: Parts = field(default_factory=Parts)

    def registry(self) -> Registry:
        """The operators that a model is converted with.

        Raises:
            UsageError: onnx has no definition of an operator that is to be converted by it.
        """
        for op_type in self.as_defined:
            if op_type not in (defined := defined_operators()):
                raise UsageError(f"{op_type}: onnx defines no such operator by others; {hint(op_type, defined)}")
        return registry(*self.families, as_defined=self.as_defined)

    def reference(self, source: "Source", model: ir.Model) -> Reference:
        """What a model is held against.

        Args:
            source: with its file.
            model: as it was read.
        """
        nodes = [*model.graph.all_nodes(), *(node for body in model.functions.values() for node in body.all_nodes())]
        there = {node.op_type for node in nodes if not short_domain(node.domain)}
        as_defined = [op_type for op_type in self.as_defined if op_type in there]
        return reference_of(source.path, self.references, as_defined=as_defined)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out.

    Attributes:
        saved_model: the folder.
        tflite: the .tflite file beside it, if it was wanted.
        verification: of the SavedModel.
        tflite_verification: of the .tflite file.
    """

    saved_model: Path
    tflite: Path | None
    verification: Verification
    tflite_verification: Verification | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            **asdict(self),
            "saved_model": str(self.saved_model),
            "tflite": None if self.tflite is None else str(self.tflite),
        }


@dataclass(frozen=True, slots=True)
class Source:
    """A model as it was given.

    Attributes:
        path: its file; of a model in memory, or with a ZipMap at its end, one that was written for ONNX Runtime.
        proto: the message, without its external data; nobody changes it.
        where: what it is called in an error.
        folder: where its external data lies; None where it may have none.
    """

    path: Path
    proto: onnx.ModelProto
    where: str
    folder: Path | None

    def read(self, static: Mapping[str, int]) -> ir.Model:
        """A model of one's own, with these axes fixed; its tensors are shared."""
        model = deserialize(self.proto, self.where, folder=self.folder)
        fix_axes(model, static)
        return model


def to_module(model: onnx.ModelProto | ir.Model, *, operators: Registry | None = None) -> OnnxModule:
    """Converts a model in memory, and verifies nothing.

    Args:
        model: the model; a `ModelProto` stays as it is, an `onnx_ir.Model` is changed.
        operators: what to convert with; default: all that are ours.

    Raises:
        ConversionError: the model cannot be converted; names the node and the reason.
        FormatError: it is damaged.
    """
    operators = operators or registry()
    graph = model if isinstance(model, ir.Model) else deserialize(model, "the model")
    run(passes(operators), graph)
    return OnnxModule(graph, operators)


def convert(
    model: onnx.ModelProto | Path | str,
    out: Path | str,
    options: Options = Options(),
    *,
    progress: Progress = lambda step: nullcontext(),
) -> Conversion:
    """Converts a model to a SavedModel, and holds that, loaded again from disk, against the original.

    Whatever fails, nothing is left, and what was there is as it was. The model is not changed.

    Args:
        model: an .onnx file, or a model in memory.
        out: the folder that becomes the SavedModel; with `Options.tflite` a .tflite file of its name comes beside it.
        options: how.
        progress: told of each step.

    Raises:
        UsageError: something asked for is not there, or the folder is taken.
        FormatError: the model is damaged, or its external data is not there.
        UnsupportedOpError: an operator is not converted; says which form of it would be, and how to add one.
        ConversionError: the model cannot be converted otherwise.
        ParityError: the SavedModel or the .tflite file answers otherwise than the original.
        SpecError: the original does not take the inputs, so that nothing can be compared.
    """
    out = Path(out)
    tflite = out.parent / f"{out.name}.tflite" if options.tflite else None
    operators = options.registry()
    _check_target(out, tflite, model, options)
    with ExitStack() as stack:
        with progress("read"):
            source = stack.enter_context(opened(model))
            original = source.read(options.static)
        with progress("convert"):
            module = to_module(source.read(options.static), operators=operators)
        folder = stack.enter_context(_replacing(out, options.force))
        with progress("save"):
            _save(module, folder)
        del module
        gc.collect()  # a tf.function and its graph hold each other, and the weights
        with progress("verify"):
            asked = _answers(source, original, options)
            verification = _verified(asked, folder, run_saved_model, options, "the SavedModel")
        checked = None
        if tflite is not None:
            file = stack.enter_context(beside(tflite))
            with progress("convert to TFLite"):
                write_tflite(folder, file)
            with progress("verify TFLite"):
                checked = _verified(asked, file, run_tflite, options, "the .tflite file")
    return Conversion(out, tflite, verification, checked)


@contextmanager
def opened(model: onnx.ModelProto | Path | str) -> Iterator[Source]:
    """A model as a file and as a message; what is written for one in memory goes in the end.

    Raises:
        UsageError: there is no such file.
        FormatError: it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="showdown-") as temporary:
        written = Path(temporary) / "model.onnx"
        if not isinstance(model, onnx.ModelProto):
            path = Path(model)
            proto = read_proto(path)
            tensors_only = _write_without_maps(deserialize(proto, str(path), folder=path.parent), written)
            yield Source(written if tensors_only else path, proto, str(path), path.parent)
            return
        where = f"the model {model.graph.name!r}"
        read = deserialize(model, where)
        weights = sum(v.const_value.nbytes for v in read.graph.initializers.values() if v.const_value is not None)
        if weights > _LARGEST_IN_ONE_FILE:
            ir.save(read, written, external_data="model.data")
        elif not _write_without_maps(read, written):
            written.write_bytes(model.SerializeToString())
        yield Source(written, model, where, None)


def _write_without_maps(model: ir.Model, path: Path) -> bool:
    """Writes a model whose outputs are a ZipMap's with the tensors instead, if there are any; changes the model."""
    if not zip_maps(model):
        return False
    run((DropZipMaps(),), model)
    ir.save(model, path, external_data=f"{path.stem}.data")
    return True


def _save(module: OnnxModule, folder: Path) -> None:
    """Writes the SavedModel; raises OSError where TensorFlow, on its own errors, would not."""
    folder.mkdir(parents=True)
    try:
        save(module, folder)
    except tf.errors.OpError as err:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(err):
                raise OSError(number, os.strerror(number), str(folder)) from err
        raise


def _answers(source: Source, original: ir.Model, options: Options) -> Answers:
    reference = options.reference(source, original)
    try:
        return answers(original, reference, sizes=options.axis_sizes, files=options.inputs)
    finally:
        reference.close()


def _verified(asked: Answers, path: Path, load: Callable[[Path], Any], options: Options, hop: str) -> Verification:
    runtime, call, close = load(path)
    try:
        return check_file(asked, call, runtime, options.parts, hop=hop)
    finally:
        close()


def _check_target(out: Path, tflite: Path | None, model: onnx.ModelProto | Path | str, options: Options) -> None:
    """Refuses to write where something is that nobody said could go."""
    if not isinstance(model, onnx.ModelProto):
        file = Path(model).resolve()
        if file.is_relative_to(out.resolve()) or (tflite is not None and file == tflite.resolve()):
            raise UsageError(f"{out}: the model itself lies there; choose another folder with -o")
    if out.is_dir() and any(out.iterdir()):
        if not (out / "saved_model.pb").is_file():
            raise UsageError(f"{out}: a folder with other files than a SavedModel; choose another one with -o")
        if not options.force:
            raise UsageError(f"{out}: there is a SavedModel already; --force replaces it")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"{out}: a file; choose a folder with -o")
    if tflite is not None and tflite.exists() and (tflite.is_dir() or not options.force):
        raise UsageError(f"{tflite}: it is there already; --force replaces a file")


@contextmanager
def _replacing(target: Path, force: bool) -> Iterator[Path]:
    """A folder beside the target, renamed to it in the end; where that is forced, the old one goes then."""
    old = target.with_name(f".{target.name}.replaced")
    try:
        with beside(target) as folder:
            yield folder
            if force and target.is_dir():
                target.rename(old)
    except BaseException:
        if old.is_dir():
            old.rename(target)
        raise
    if old.is_dir():
        shutil.rmtree(old)
