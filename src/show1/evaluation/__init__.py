"""Measures models: what they show of what was asked, and how it looks beside rendered clips."""
