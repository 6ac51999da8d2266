"""Building an instruction dataset: seeds, prompts, parsing, filters, the generation loop, the datasheet."""
