"""The gateway alone, and who is let in there."""
