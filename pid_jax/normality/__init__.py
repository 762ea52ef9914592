"""How far latents are from jointly Gaussian: statistics of each variable, pair and triple, and sentences about them."""
