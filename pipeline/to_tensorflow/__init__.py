"""ONNX to TensorFlow: a stage over converters that can be chosen."""
