"""Worlds to train on: captioned clips that are drawn, not collected."""
