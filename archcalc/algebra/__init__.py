"""Numbers, windows and counts: arithmetic that knows no layer."""
