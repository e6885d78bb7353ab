"""The client: one call for a server by gRPC, by REST, or for a .tflite file."""

from serving.client.clients import AsyncClient, Client
from serving.client.face import VersionStatus
from serving.client.signature import Signature
from serving.client.target import Tls

__all__ = ["AsyncClient", "Client", "Signature", "Tls", "VersionStatus"]
