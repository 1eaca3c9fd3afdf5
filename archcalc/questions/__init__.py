"""Questions: what users ask of a walked model, one question a file."""
