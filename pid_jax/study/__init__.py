"""Models, tasks, conditions and layers: cells, metrics, verdicts."""
