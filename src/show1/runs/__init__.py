"""A run's folder: what was asked, every finished stage, and how to go on from there."""
