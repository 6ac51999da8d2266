"""Scores of answers: accuracy rules, entity matching, ROUGE and their kin, each with a signature."""
