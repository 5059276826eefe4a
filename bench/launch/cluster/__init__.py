"""Sweeps over the machines of a Ray cluster: what they are, what runs on them, and who hands out the work."""
