"""Evaluation of predictors: named protocols, baselines, reports."""
