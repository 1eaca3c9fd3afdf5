"""Cross-check: the real network, built and run beside the formulas."""
