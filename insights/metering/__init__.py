"""Usage once it is stored: its sums, how complete it is, and reading it by time and dimension."""
