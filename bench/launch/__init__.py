"""How a run is started. No torch here."""
