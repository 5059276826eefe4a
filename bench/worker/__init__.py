"""What happens inside the run's process. The only home of torch."""
