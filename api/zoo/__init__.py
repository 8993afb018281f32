"""Zoos: collections of models that an import may name instead of sending files."""
