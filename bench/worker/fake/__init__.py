"""A GPU that is not there: real code on fake tensors, with a simulated CUDA allocator."""
