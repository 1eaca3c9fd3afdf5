"""Foreign languages: the only files with foreign words."""
