"""How good a predictor is: named protocols, baselines, reports."""
