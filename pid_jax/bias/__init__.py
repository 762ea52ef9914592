"""What sampling does to atoms: biases, corrections, noise of ranks."""
