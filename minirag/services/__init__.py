"""Use cases, one module per aggregate, and in `ports` the Protocols they need."""
