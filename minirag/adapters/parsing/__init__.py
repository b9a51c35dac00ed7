"""From a document's bytes to its text, in a subprocess that its bytes can't get out of.

`sandbox.SandboxedParser` is what the rest of the application uses; it imports no parser. The parsers run
in children of `forkserver`. To add a format: one module with a `FORMAT`, and one line in `registry.py`.
"""
