"""Many requests to an OpenAI-compatible endpoint: limits, budget, write-ahead log, answers in order."""
