"""Benchmarks: how fast each part is, and a whole tracker run. Nothing here is a test; see docs/benchmarks.md."""
