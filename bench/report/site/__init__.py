"""The static site: what pages there are, what stands on them, how they become files, and how files are checked."""
