"""Rendered pictures of the procedural hand (data card: README.md in this folder)."""
