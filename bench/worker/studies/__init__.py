"""One question a file, asked of a model or of a kernel."""
