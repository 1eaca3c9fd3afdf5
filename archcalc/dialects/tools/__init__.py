"""What other counters count, a table for each family of tools."""
