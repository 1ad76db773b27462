"""Usage once it is stored: what is summed, how complete it is, and reading it by hour, day, month and dimension."""
