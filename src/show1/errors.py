"""What a user can get wrong, as exceptions whose message says what, with which value, and the way out."""


class Show1Error(Exception):
    """Base of every error meant for people; the command line prints its message without a traceback."""


class CheckpointError(Show1Error):
    """A model folder or weight file is missing, incomplete, damaged or of another shape."""


class DataError(Show1Error):
    """Training data, sprites or a video file cannot be used."""


class PromptError(Show1Error, ValueError):
    """A prompt or its embeddings cannot be used."""


class SettingsError(Show1Error, ValueError):
    """A setting (steps, sizes, frame counts, ...) has a value that cannot work."""
