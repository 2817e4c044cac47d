"""Training of every stage: one loop, one configuration format, the conditions that sampling uses."""
