"""Generated scenes of two shapes with questions of the six GQA tasks, as a folder in the layout of GQA."""
