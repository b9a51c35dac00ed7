"""Client of the MiniRAG gRPC API: `minirag_sdk.v1` holds the generated messages and stubs."""
