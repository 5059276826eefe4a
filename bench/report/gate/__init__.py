"""How a comparison of two sides is told: in the terminal, and to the machines that act on it."""
