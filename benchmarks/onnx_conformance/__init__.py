"""ONNX's own operator tests, run against a converter: which of them a SavedModel answers right."""
