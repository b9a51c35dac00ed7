"""The figures of MiniRAG, each as a ratio against a baseline in the same run: `python -m benchmarks`."""
