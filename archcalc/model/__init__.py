"""Models as graphs of named nodes, and the one walk that answers every question about them."""
