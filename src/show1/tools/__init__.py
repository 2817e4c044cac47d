"""Single stages at work on a user's own videos, of any length, in constant memory."""
