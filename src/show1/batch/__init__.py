"""Many prompts, made by workers of which each holds one stage's networks."""
