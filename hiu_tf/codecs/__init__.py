"""Labels <-> dense maps: each codec has an encode (for targets) and a decode (for predictions)."""
