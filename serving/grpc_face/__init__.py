"""The gRPC face: converts, calls a handler, converts back."""
