"""Random deaths of everything, and the count of what was kept: `make chaos DEATHS=1000 SEED=1`."""
