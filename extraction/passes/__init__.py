"""From samples to states: batches, positions, recording, knockouts."""
