"""MiniRAG: a multi-tenant retrieval-augmented chat backend spoken over gRPC."""

__version__ = "0.1.0"
