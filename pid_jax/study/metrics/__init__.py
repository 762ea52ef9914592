"""What a study shows: metrics of trajectories, effects of knockouts, and verdicts on claims, all with intervals."""
