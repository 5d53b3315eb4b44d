"""Lowering of a graph to the steps that compute it; `lower.lower` is the entry point."""
