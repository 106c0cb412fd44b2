"""Training: recipes, the stores they need, the objective and the loop."""
