"""Tests: literals with their sources, laws, naive counting, the real network, and the texts that users read."""
