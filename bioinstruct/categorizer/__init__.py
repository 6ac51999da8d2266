"""The offline categoriser: a linear model over word n-grams, shipped as plain arrays and applied with numpy alone."""
