"""Messages and stubs of package minirag.v1, generated from protos/. Do not edit."""
