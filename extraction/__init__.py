"""Hidden states of vision-language models, on disk. PyTorch side; meets `pid_jax` only in the activation store."""
