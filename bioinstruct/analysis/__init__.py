"""From run folders to an answer: which categories of instructions help which family of tasks."""
