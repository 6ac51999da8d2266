"""The offline categoriser: a linear model over word n-grams, plain arrays applied with numpy alone."""
