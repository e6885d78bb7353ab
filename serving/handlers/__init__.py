"""What each call does, without gRPC and HTTP."""
