"""Your own pictures with COCO key points (data card: README.md in this folder)."""
