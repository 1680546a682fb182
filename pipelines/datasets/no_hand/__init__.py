"""Windows without hands (data card: README.md in this folder)."""
