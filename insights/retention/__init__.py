"""Months of the ledger: made ahead, archived, restored."""
