"""The nouns of MiniRAG: frozen dataclasses, enums and state transitions, free of any library."""
