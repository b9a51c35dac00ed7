"""The gRPC API: servicers, interceptors, and the mapping between protobuf and the domain."""
