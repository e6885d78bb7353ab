"""TensorFlow Serving's protocol without TensorFlow's Python: model manager, handlers, gRPC and REST faces, client."""
