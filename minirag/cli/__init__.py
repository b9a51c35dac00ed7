"""The `minirag` command: a client of the public contract, and the entry points of the processes."""
