"""Between protobuf messages and the domain, one module per aggregate."""
