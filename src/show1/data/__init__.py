"""Users' own clips: where they lie, what is wrong with them, in which order they are read, and their frames."""
