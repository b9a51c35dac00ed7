"""MiniRAG: a multi-tenant retrieval-augmented chat backend spoken over gRPC."""

import os

__version__ = "0.1.0"

# gRPC writes lines of its own to standard error, unescaped: what a hostile peer said goodbye with would
# stand in our log as a line of ours. It reads this when it is loaded, so before that. Whoever looks for a
# fault in a connection sets it to INFO.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
