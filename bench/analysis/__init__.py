"""What runs mean: pure functions on records."""
