"""Models and their processors: families, loading, prompts, tokens."""
