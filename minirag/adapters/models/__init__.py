"""Language models behind the ports of `minirag.services.ports.models`."""
