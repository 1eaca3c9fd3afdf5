"""Rows and columns as data, and how they look as text, Markdown, CSV, LaTeX and HTML."""
