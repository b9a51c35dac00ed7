"""From settings to adapters to services: the only place that knows the concrete classes."""

from minirag.bootstrap.adapters import open_resealing
from minirag.bootstrap.container import Bell, Container, build_container

__all__ = ["Bell", "Container", "build_container", "open_resealing"]
