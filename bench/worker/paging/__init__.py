"""Paging: optimiser state made to leave, and what its way back costs."""
