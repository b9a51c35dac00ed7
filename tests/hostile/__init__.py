"""Documents that nobody should be able to hurt a worker with, and a node that has to read them all."""
