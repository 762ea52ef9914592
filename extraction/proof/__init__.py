"""Self-tests on the real model, before anything is written."""
