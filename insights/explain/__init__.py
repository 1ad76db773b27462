"""Where a line of a bill comes from, proved from the records."""
